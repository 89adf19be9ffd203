"""Common curves: the scale on which arms with other teachers compare."""

import pandas as pd
import pytest

from kvdistill.report.figures.style import make_arm_styles
from kvdistill.report.figures.training import average_curves, choose_kv_column
from kvdistill.report.sections.training import draw_training, tabulate_curve_ends


def make_curves(label: str, *, comparable: bool = True):
    rows = []
    for step in (0, 10, 20):
        for split in ("train", "val"):
            row = {"step": step, "split": split, "ce": 2.0 - step / 20, "kv": 0.9 - step / 50}
            if comparable and split == "val":
                row["kv_nmse"] = 1.0 - step / 50
            rows.append(row)
    return average_curves(label, [pd.DataFrame(rows)])


@pytest.mark.integration
@pytest.mark.parametrize(
    ("comparable", "column", "says"),
    [
        ((True, True), "kv_nmse", "1 is what a constant scores"),
        ((True, False), "kv", "arms with other teachers have other scales"),
    ],
)
def test_arms_are_drawn_on_the_scale_that_all_of_them_have(comparable, column, says):
    means = [
        make_curves(name, comparable=each) for name, each in zip("ab", comparable, strict=True)
    ]
    assert choose_kv_column(means) == column
    figures = draw_training(means, make_arm_styles(["a", "b"]), None)
    (figure,) = [each for each in figures if each.name == "kv_loss_curves"]
    assert says in figure.description
    assert f"a: {column} val" in figure.data.columns
    (row, _) = tabulate_curve_ends(means, None, []).rows
    first = 1.0 if column == "kv_nmse" else 0.9
    assert f"{first:.3f}" in [cell.text for cell in row]


@pytest.mark.integration
def test_arms_that_compare_distributions_are_drawn_with_their_numbers():
    lines = {"step": [0, 1] * 2, "split": ["val", "val", "train", "train"], "ce": [2.0, 1.0] * 2}
    plain = average_curves("sft", [pd.DataFrame(lines)])
    taught = average_curves("logit_kd", [pd.DataFrame(lines | {"logits": [0.75, 0.5] * 2})])
    figures = draw_training([plain, taught], make_arm_styles(["sft", "logit_kd"]), None)
    (figure,) = [each for each in figures if each.name == "logit_distance_curves"]
    assert "logit_kd: logits val" in figure.data.columns
    assert not any(
        each.name == "logit_distance_curves"
        for each in draw_training([plain], make_arm_styles(["sft"]), None)
    )


def test_an_arm_without_teachers_does_not_take_the_scale_from_the_others():
    plain = average_curves(
        "sft", [pd.DataFrame({"step": [0, 1], "split": ["val", "val"], "ce": [2.0, 1.0]})]
    )
    table = tabulate_curve_ends([plain, make_curves("kv")], None, [])
    assert "KV error last" in table.columns
