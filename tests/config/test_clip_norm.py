"""What a gradient is clipped at does not depend on how a loss is scaled."""

import pytest

from kvdistill.config.clip_norm import scale_clip_norm


@pytest.mark.parametrize(
    ("ce", "kv", "bound"), [(1.0, 0.0, 2.0), (0.5, 1.0, 1.0), (3.0, 1.0, 6.0), (0.0, 0.3, 0.6)]
)
def test_the_bound_is_in_units_of_cross_entropy_or_of_what_there_is_instead(
    ce: float, kv: float, bound: float
) -> None:
    assert scale_clip_norm(2.0, {"ce_weight": ce, "kv_weight": kv}) == pytest.approx(bound)


@pytest.mark.usefixtures("hydra")
def test_a_run_whose_bound_is_another_is_another_run() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan.identity import science_of

    assert science_of(compose(["loss.ce_weight=0.5"]))["clip_norm"] == 0.5
    assert "clip_norm" not in science_of(compose(["loss.ce_weight=1.0"]))
    assert "clip_norm" not in science_of(compose(["arm=raw_student"]))


@pytest.mark.usefixtures("hydra")
def test_the_arms_of_a_study_have_one_bound(tmp_path) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.train.training_arguments import make_training_arguments

    arms = ("sft", "ce_only", "single_teacher", "multi_teacher")
    bounds = {
        make_training_arguments(compose([f"arm={arm}"]), 5, tmp_path).max_grad_norm for arm in arms
    }
    assert bounds == {0.5}
