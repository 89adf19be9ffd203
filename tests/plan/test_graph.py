"""Which artefacts a run needs, and what names them."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("hydra")


def nodes(*overrides: str):
    from kvdistill.config.compose import compose
    from kvdistill.plan.graph import list_artifacts

    return dict(list_artifacts(compose(list(overrides))))


def test_every_run_needs_its_split_checked_before_anything_else() -> None:
    for arm in ("raw_student", "sft", "multi_teacher"):
        artifacts = nodes(f"arm={arm}")
        assert list(artifacts)[:2] == ["split", "validation"]
        assert artifacts["validation"].needs == {"split": artifacts["split"].name}


def test_arms_and_seeds_share_a_check() -> None:
    each = [nodes(f"arm={arm}", f"seed={n}") for arm in ("sft", "multi_teacher") for n in (1, 2)]
    assert len({artifacts["validation"].name for artifacts in each}) == 1


def test_replicates_share_their_artefacts_and_other_arms_do_not() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan.command_plan import Plan

    plan = Plan(Path(), "s")
    one, other, wider = (
        plan.add(compose(overrides)).node
        for overrides in (["seed=1"], ["seed=2"], ["seed=1", "teachers=three"])
    )
    assert one.name != other.name
    assert one.needs == other.needs == {role: node.name for role, node in nodes("seed=3").items()}
    assert set(wider.needs.values()) > {one.needs["split"], one.needs["student"]}
    assert wider.needs == {role: node.name for role, node in nodes("teachers=three").items()}
    assert set(plan.artifacts) == {*one.needs.values(), *wider.needs.values()}


@pytest.mark.parametrize(
    "override",
    ["data.source.seed=1", "data.leakage.near=refuse", "tasks=quick", "train.calibration_rows=8"],
)
def test_what_changes_the_sets_is_checked_anew(override: str) -> None:
    assert nodes(override)["validation"].name != nodes()["validation"].name


def test_calibration_rows_are_of_no_interest_where_nothing_is_trained() -> None:
    one, other = (
        nodes("arm=raw_student", f"train.calibration_rows={n}")["validation"] for n in (8, 9)
    )
    assert one == other
    assert one.recipe["calibration_rows"] is None


@pytest.mark.parametrize("override", ["tasks.data_root=/elsewhere", "data.validate_only=true"])
def test_execution_names_no_check(override: str) -> None:
    assert nodes(override)["validation"].name == nodes()["validation"].name


def stores(*overrides: str) -> dict[str, str]:
    """Teacher -> name of its store."""
    artifacts = nodes("source=store", *overrides).items()
    return {role: node.name for role, node in artifacts if node.kind == "kv"}


@pytest.mark.integration
def test_a_stored_source_needs_one_store_a_teacher_and_no_other_source_any() -> None:
    assert list(stores()) == ["kv.a", "kv.b"]
    for source in ("online", "shuffled", "random"):
        assert not [node for node in nodes(f"source={source}").values() if node.kind == "kv"]


@pytest.mark.parametrize("control", ["shuffled", "random"])
def test_a_control_over_a_store_reads_the_store_of_the_arm_it_controls(control: str) -> None:
    assert stores(f"source={control}", "source@source.of=store") == stores()


@pytest.mark.integration
@pytest.mark.parametrize(
    "override",
    [
        "seed=7", "fusion=similarity", "arm=single_teacher", "style=cot", "alignment=truncate",
        "projection=procrustes", "loss=gram", "train.lr=1", "budget.total_tokens=8192000",
        "teachers.a.placement.shard=zero3", "student.geometry.hidden_size=128",
        "student.build.seed=9", "student.build.init_std=0.5", "position=rephase", "kv=k",
        "train.calibration_rows=8", "tasks=quick",
    ],
)  # fmt: skip
def test_arms_seeds_styles_and_students_share_a_store(override: str) -> None:
    assert stores(override)["kv.a"] == stores()["kv.a"]


@pytest.mark.integration
@pytest.mark.parametrize(
    "override",
    [
        "compression=r_kv", "compression.keep=0.25", "layers.range=0-2", "layers/map=last",
        "budget.seq_len=32", "source.stored.dtype=int8", "teachers.a.dtype=bfloat16",
        "teachers.a.build.seed=9", "data.source.rows=40", "student.build.max_digits=3",
        "student.geometry.vocab_size=512", "student.geometry.layers=3",
    ],
)  # fmt: skip
def test_what_changes_the_captured_tensors_is_another_store(override: str) -> None:
    assert stores(override)["kv.a"] != stores()["kv.a"]


def test_another_version_of_the_capturing_code_is_another_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from kvdistill.plan import graph

    before = stores()
    monkeypatch.setattr(graph, "CAPTURE_VERSION", graph.CAPTURE_VERSION + 1)
    assert stores()["kv.a"] != before["kv.a"]


def test_the_student_is_needed_for_its_tokenizer_but_does_not_name_the_store() -> None:
    one, other = (nodes("source=store", f"student.build.seed={n}") for n in (1, 2))
    assert one["kv.a"].needs["student"] == one["student"].name != other["student"].name
    assert one["kv.a"].name == other["kv.a"].name


def test_a_style_that_is_not_stored_is_refused_by_template() -> None:
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=r"style.templates.cot is not stored as it stands"):
        stores("style@source.stored.style=direct")
    with pytest.raises(ConfigError, match=r"style.mask_prompt=False but source.stored.style"):
        stores("style.mask_prompt=false")


def test_teachers_answer_before_the_texts_are_checked_and_are_not_calibrated() -> None:
    artifacts = nodes("arm=sequence_kd")
    assert list(artifacts) == [
        "split", "student", "teacher.a", "teacher.b", "answers.a", "answers.b", "validation",
    ]  # fmt: skip
    assert artifacts["answers.a"].needs == {
        "split": artifacts["split"].name, "teacher.only": artifacts["teacher.a"].name,
    }  # fmt: skip
    assert artifacts["validation"].needs == {
        "split": artifacts["split"].name,
        "answers.a": artifacts["answers.a"].name, "answers.b": artifacts["answers.b"].name,
    }  # fmt: skip


@pytest.mark.integration
def test_answers_are_shared_by_whatever_does_not_change_them() -> None:
    own = nodes("arm=sequence_kd")["answers.a"].name
    for same in (
        ["seed=7"], ["data.answers=right_teacher"], ["train.lr=0.1"], ["student=nano_third"],
        ["data.decoding.seed=3"], ["data.decoding.max_new_tokens=64"],
    ):  # fmt: skip
        assert nodes("arm=sequence_kd", *same)["answers.a"].name == own
    for other in (
        ["data.decoding.temperature=0.7"], ["style=direct"], ["data.decoding.max_new_tokens=9"],
        ["data.source.seed=1"], ["teachers=same_family", "data.answers_from=b"],
    ):  # fmt: skip
        artifacts = nodes("arm=sequence_kd", *other)
        assert own not in {node.name for node in artifacts.values()}


def test_gold_answers_change_no_artefact_whatever_is_said_of_teachers() -> None:
    before = {role: node.name for role, node in nodes().items()}
    settings = ["data.decoding.temperature=0.7", "data.decoding.seed=2"]
    assert {role: node.name for role, node in nodes(*settings).items()} == before
    # The texts differ; the split, the teachers' calibration and all else do not.
    answered = {role: node.name for role, node in nodes("data.answers=teacher").items()}
    assert {k: v for k, v in before.items() if k != "validation"}.items() <= answered.items()


def test_a_store_does_not_hold_texts_with_teachers_answers() -> None:
    from kvdistill.errors import ConfigError

    with pytest.raises(
        ConfigError, match=r"data.answers=teacher trains on texts that source=store"
    ):
        nodes("data.answers=teacher", "source=store")


def test_attention_kernels_reach_every_job_that_reads_a_teacher_and_name_none() -> None:
    chosen = "train.attn_implementation=eager"
    answered = "data.answers=teacher"
    for overrides in (("source=store",), (answered,)):
        plain, ours = nodes(*overrides), nodes(*overrides, chosen)
        assert {role: node.name for role, node in plain.items()} == {
            role: node.name for role, node in ours.items()
        }
        for role, node in ours.items():
            if role.startswith(("kv.", "answers.", "calibration.")):
                assert node.recipe["train"]["attn_implementation"] == "eager"
                # Left to the model, a recipe is as it was before there was a choice.
                assert role.startswith("calibration.") or "train" not in plain[role].recipe
