"""What cannot be compared is refused before anything is queued."""

from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., Any]


def check(config: dict[str, Any]) -> None:
    from kvdistill.train.preflight import check_run_config

    check_run_config(config)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("arm=logit_kd", "source=random"), "source=random changes K and V alone"),
        (("arm=ce_kl_kv", "source=random"), "source=random changes K and V alone"),
        (("arm=logit_kd", "logits/teachers=averaged"), "logits/teachers=averaged mixes"),
        (("arm=logit_kd", "logits.teachers.weights=[1.0]"), "has 1 weights for 2 teachers"),
        (("arm=logit_kd", "source=store", "source.stored.states=int8"), "stored.states=int8"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("hydra")
def test_what_cannot_be_compared_is_refused_by_name(
    overrides: tuple[str, ...], message: str
) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=message):
        check(compose(list(overrides)))


@pytest.mark.usefixtures("hydra")
def test_the_controls_and_stores_that_give_answers_pass() -> None:
    from kvdistill.config.compose import compose

    for more in (
        ["source=shuffled"],
        ["source=store"],
        ["source=shuffled", "source@source.of=store"],
    ):
        check(compose(["arm=logit_kd", *more]))


def test_a_head_that_does_not_come_apart_is_refused_from_its_config_alone() -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.train.answers.check_distributions import check_head
    from tests.house.families import build_config

    check_head(build_config("Gemma 2"), "teachers.a")
    with pytest.raises(ConfigError, match=r"distributions of teachers\.a, but Llama4ForCausalLM"):
        check_head(build_config("Llama 4"), "teachers.a")
