"""A wrong name below a group of choices says the shape that is meant."""

import pytest

from kvdistill.config.compose import compose
from kvdistill.errors import ConfigError

pytestmark = pytest.mark.usefixtures("hydra")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("loss.smooth_l1=1", r"smooth_l1 is a choice: write loss=smooth_l1\."),
        ("loss.last_k=4", r"last_k is a choice: write loss/tokens=last_k\."),
        ("loss.tokens=last_k", r"Write loss/tokens=last_k: a choice is a file"),
        ("loss.distance=gram", r"Write loss=gram: a choice is a file"),
        ("projection.rank=4", r"It is a setting of projection=low_rank: choose that too"),
        (
            "projection.lamda=3",
            r"Settings of projection's choices are .*low_rank: rank; ridge: penalty",
        ),
        ("loss.kvweight=1", r"Did you mean loss\.kv_weight\?"),
    ],
)
def test_the_line_says_what_to_write(override, says):
    with pytest.raises(ConfigError, match=says):
        compose([override])


def test_what_it_says_composes():
    assert compose(["projection=low_rank", "projection.rank=4"])["projection"]["rank"] == 4
    assert compose(["loss/tokens=last_k"])["choices"]["loss/tokens"] == "last_k"
