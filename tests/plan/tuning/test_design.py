"""`tune:` of a sweep's file: what it may say, and what is refused by name."""

from typing import Any

import pytest

from kvdistill.errors import ConfigError
from kvdistill.plan.sweep import Sweep
from kvdistill.plan.tuning.design import check_tuned_overrides, read_design

TUNE = {"grid": {"train.lr": [1e-3, 2e-3]}, "trials": 2, "seeds": [1]}


def make_sweep(tune: Any, **more: Any) -> Sweep:
    arms = {"sft": {"arm": "sft"}, "kv": {"arm": "single_teacher", "loss": "mse"}}
    return Sweep("s", "?", more.pop("arms", arms), more.pop("axes", {}), [7, 8], tune=tune, **more)


def test_what_a_file_leaves_out_has_its_default() -> None:
    design = read_design(make_sweep(TUNE))
    assert design is not None
    assert (design.measure, design.draw, design.arms) == ("ce", 0, None)
    assert design.includes("kv")
    assert design.get_grid("kv") == TUNE["grid"]


def test_a_sweep_without_tune_has_no_design() -> None:
    assert read_design(make_sweep(None)) is None


def test_an_arm_may_have_a_grid_of_its_own() -> None:
    design = read_design(make_sweep(TUNE | {"grids": {"sft": {"train.lr": [1, 2, 3]}}}))
    assert design is not None
    assert design.get_grid("sft") == {"train.lr": [1, 2, 3]}
    assert design.get_grid("kv") == TUNE["grid"]


def test_a_grid_of_one_arm_may_have_what_another_arm_sets() -> None:
    arms = {"each": {"arm": "kv"}, "both": {"arm": "kv", "teachers": "cross_family"}}
    teachers = {"teachers": ["single", "cross"]}
    assert read_design(make_sweep(TUNE | {"grids": {"each": teachers}}, arms=arms)) is not None
    for grids in ({"both": teachers}, {"each": TUNE["grid"]}):
        tune = TUNE | {"grids": grids} | ({} if "both" in grids else {"grid": teachers})
        with pytest.raises(ConfigError, match=r"teachers is set by arms\.both: teachers"):
            read_design(make_sweep(tune, arms=arms))


def test_a_setting_of_a_file_that_an_arm_chooses_may_be_tuned() -> None:
    assert read_design(make_sweep(TUNE | {"grid": {"loss.kv_weight": [1, 2]}})) is not None


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ([], "tune=[] must map some of grid"),
        (TUNE | {"trial": 2}, "tune.trial is none of its keys. Use grid, trials, seeds"),
        (TUNE | {"trials": 1}, "tune.trials=1 must be a whole number of 2 or more"),
        (TUNE | {"trials": True}, "tune.trials=True must be"),
        (TUNE | {"seeds": []}, "tune.seeds=[] must list seeds"),
        (TUNE | {"seeds": [1, 1]}, "tune.seeds=[1,1] must list seeds, each once"),
        (TUNE | {"seeds": [1, 8]}, "tune.seeds and the confirming seeds share 8"),
        (TUNE | {"measure": "macro"}, "tune.measure=macro is none. Choose one of ce, accuracy."),
        (TUNE | {"draw": "x"}, "tune.draw=x must be a whole number"),
        (TUNE | {"arms": ["nosuch"]}, "tune.arms=[nosuch] must be all, or list some of sft, kv"),
        (TUNE | {"grids": {"x": {}}}, "must map arms to grids: some of sft, kv"),
        (TUNE | {"grids": {"kv": {}}}, "tune.grids.kv={} must map settings to lists"),
        (TUNE | {"grid": {}}, "tune.grid={} must map settings to lists"),
        (TUNE | {"grid": {"train.lr": [1]}}, "tune.grid.train.lr=[1] must list 2 values or more"),
        (TUNE | {"grid": {"train.lr": 1}}, "tune.grid.train.lr=1 must list 2 values or more"),
        (
            TUNE | {"grid": {"budget.total_tokens": [1, 2]}},
            "tune.grid.budget.total_tokens cannot be tuned: trials of all arms have budget in",
        ),
        (TUNE | {"grid": {"train.eval_texts": [1, 2]}}, "have train.eval_texts in common"),
        (TUNE | {"grid": {"seed": [1, 2]}}, "have seed in common"),
        (TUNE | {"grid": {"loss": ["mse", "gram"]}}, "tune.grid.loss is set by arms.kv: loss"),
    ],
)
def test_what_cannot_be_tuned_is_refused_by_its_key(tune: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_design(make_sweep(tune))
    assert message in str(caught.value)


def test_an_axis_is_no_part_of_the_grid() -> None:
    with pytest.raises(ConfigError, match=r"tune\.grid\.train\.lr is set by axes: train\.lr"):
        read_design(make_sweep(TUNE, axes={"train.lr": [1, 2]}))


def test_a_command_may_not_set_what_is_tuned() -> None:
    design = read_design(make_sweep(TUNE))
    assert design is not None
    check_tuned_overrides(design, "s", ["train.weight_decay=0", "data=jsonl"])
    for item in ("train.lr=1", "train=fast"):
        with pytest.raises(ConfigError, match=rf"{item} contradicts sweep=s, whose tune\.grid"):
            check_tuned_overrides(design, "s", [item])
