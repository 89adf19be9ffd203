"""What a plan prices, and by which names."""

from pathlib import Path

import pytest

SWEEPS = {
    "one": "question: One?\narms:\n  plain: {arm: sft}\nseeds: [1]\n",
    "two": "question: Two?\narms:\n  tuned: {arm: sft}\n  plain: {arm: sft}\nseeds: [1, 2]\n",
}


@pytest.mark.usefixtures("hydra")
def test_a_recipe_is_priced_once_by_every_label_that_asks_for_it(tmp_path: Path) -> None:
    from kvdistill.config.schema import read_group
    from kvdistill.estimate.plan_cost import group_by_recipe
    from kvdistill.plan.expand import expand_command

    for name, text in SWEEPS.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    plan = expand_command([["sweep=[one,two]", "references=false", f"root={tmp_path}"]], tmp_path)
    (arm,) = group_by_recipe(plan, read_group("estimate", plan.config["estimate"]))
    assert arm.label == "plain (one, two), tuned (two)"
    assert len(arm.runs) == 2
