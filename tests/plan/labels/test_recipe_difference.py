"""What sets two recipes apart, in the words of the command line."""

import pytest

pytestmark = pytest.mark.usefixtures("hydra")


def list_settings(old: list[str], new: list[str]) -> list[tuple[str, str, str]]:
    from kvdistill.config.compose import compose
    from kvdistill.plan.labels.recipe_difference import compare_recipes

    return [(one.path, one.old, one.new) for one in compare_recipes(compose(old), compose(new))]


@pytest.mark.parametrize(
    ("old", "new", "settings"),
    [
        ([], ["seed=7", "train.logging_steps=3", "cluster.threads=2"], []),
        ([], ["train.lr=0.5"], [("train.lr", "0.003", "0.5")]),
        ([], ["fusion=learnable"], [("fusion", "fixed", "learnable")]),
        (["layers/map=reversed"], [], [("layers/map", "reversed", "proportional")]),
        ([], ["train.group_by_length=true"], [("train.group_by_length", "false", "true")]),
        (["train.group_by_length=true"], [], [("train.group_by_length", "true", "false")]),
        ([], ["teachers.b.dtype=bfloat16"], [("teachers.b.dtype", "float32", "bfloat16")]),
        (["arm=sft"], ["arm=single_teacher", "source=online"], [("arm", "sft", "single_teacher")]),
        (["arm=raw_student"], ["arm=sft"], [("arm", "raw_student", "sft")]),
        (["arm=sft"], ["arm=sft", "loss.ce_weight=1.0"], [("loss.ce_weight", "0.5", "1.0")]),
    ],
)
def test_each_difference_is_named_once(
    old: list[str], new: list[str], settings: list[tuple[str, str, str]]
) -> None:
    assert list_settings(old, new) == settings


def test_a_list_is_one_setting_shown_whole() -> None:
    tasks = ["nano_arithmetic", "nano_algebra", "nano_logic", "nano_truth"]
    ((path, _, new),) = list_settings([], [f"tasks.tasks=[{','.join(tasks)}]"])
    assert (path, new) == ("tasks.tasks", f"[{','.join(tasks)}]")


def test_many_differences_are_counted() -> None:
    from kvdistill.plan.labels.recipe_difference import SettingDifference, describe_differences

    text = describe_differences([SettingDifference(f"p{i}", "1", "2") for i in range(10)])
    assert text.startswith("p0 is 1 there and 2 here; p1")
    assert text.endswith("p7 is 1 there and 2 here; and 2 more")
    assert "another version of kvdistill" in describe_differences([])


def test_a_whole_number_and_a_share_differ_as_identities_have_them() -> None:
    from kvdistill.plan.labels.recipe_difference import list_differing_paths

    assert list_differing_paths({"keep": 1, "a": None}, {"keep": 1.0, "a": None}) == ["keep"]
