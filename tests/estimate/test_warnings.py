"""What a plan warns of in how an arm trains."""

from typing import Any

import pytest

TEXTS = {"style": {"templates": {"d": {"prompt": "{question}", "answer": "{answer}"}}}}


@pytest.mark.parametrize(
    ("student", "adapter", "rate", "warned"),
    [
        ({"pretrained": {}}, "none", 3e-3, True),
        ({"pretrained": {}}, "none", 6e-4, False),
        ({"pretrained": {}}, "lora", 3e-3, False),
        ({"build": {}}, "none", 3e-3, False),
    ],
)
def test_a_rate_that_undoes_what_was_learned(
    student: dict[str, Any], adapter: str, rate: float, warned: bool
) -> None:
    from kvdistill.estimate.warnings import warn_of_training

    config: Any = TEXTS | {
        "student": student, "choices": {"adapter": adapter}, "train": {"lr": rate},
        "data": {"source": {}},
    }  # fmt: skip
    shown = list(warn_of_training(config))
    assert [f"train.lr={rate:g} is above 0.0006" in line for line in shown] == [True] * warned


def test_rows_without_a_rationale_that_the_style_asks_for() -> None:
    from kvdistill.estimate.warnings import warn_of_training

    config: Any = {
        "style": {"templates": {"cot": {"prompt": "{question}", "answer": "{rationale}{answer}"}}},
        "data": {"source": {"fields": {"rationale": None}}},
        "student": {"build": {}}, "choices": {"adapter": "none"}, "train": {"lr": 3e-3},
    }  # fmt: skip
    (line,) = warn_of_training(config)
    assert "data.source.fields.rationale=null" in line
