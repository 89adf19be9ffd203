"""What a node may hold, by its target's annotations."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pytest


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, int, True),
        (1.0, int, False),
        (True, int, False),
        ("1", int, False),
        (1, float, True),
        (0.5, float, True),
        (True, float, False),
        (True, bool, True),
        (1, bool, False),
        ("a", str, True),
        (1, str, False),
        (None, float | None, True),
        (None, float, False),
        ([0.5, 1], Sequence[float] | None, True),
        ((0.5, 1), Sequence[float], True),
        (["a"], Sequence[float], False),
        ("ab", Sequence[str], False),
        (0.5, Sequence[float], False),
        ({"a": None}, Mapping[str, str | None], True),
        ({"a": 1}, Mapping[str, str | None], False),
        ({1: 2}, Mapping[str, int], False),
        ([], Mapping[str, int], False),
        ([{"a": "b"}], Sequence[Mapping[str, str]], True),
        (["a"], Sequence[Mapping[str, str]], False),
        ("a", Literal["a", "b"], True),
        ("c", Literal["a", "b"], False),
        ({"_target_": "kvdistill.x"}, int, False),
        ({"_target_": "kvdistill.x"}, Sequence[int], True),
        ({"a": {"_target_": "kvdistill.x"}}, Mapping[str, Callable[..., Any]], True),
        (object(), Any, True),
    ],
)
def test_a_value_fits_its_kind_or_not(value: Any, hint: Any, expected: bool) -> None:
    from kvdistill.config.types import is_of_kind

    assert is_of_kind(value, hint) is expected


@pytest.mark.parametrize(
    ("hint", "says"),
    [
        (int, "a whole number"),
        (float | None, "a number or null"),
        (Sequence[float] | None, "a list, each a number or null"),
        (Mapping[str, float], "a mapping to a number"),
        (Literal["a", "b"], "a or b"),
    ],
)
def test_a_kind_is_said_in_words(hint: Any, says: str) -> None:
    from kvdistill.config.types import describe_kind

    assert describe_kind(hint) == says


RANDOM = {"_target_": "kvdistill.compression.random.Random", "keep": 0.5, "seed": 0}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": "x"}, r"^compression\.seed='x' must be a whole number\.$"),
        ({"keep": True}, r"^compression\.keep=True must be a number or a whole number\.$"),
        (
            {"sede": 1},
            r"^compression\.sede is no setting of Random\. Did you mean compression\.seed",
        ),
        ({"zzz": 1}, r"^compression\.zzz is no setting of Random\. Drop it\.$"),
        ({"_target_": "kvdistill.compression.random.Rnd"}, r"^compression\._target_: "),
    ],
)
def test_a_node_is_refused_by_the_path_of_its_setting(change: dict, says: str) -> None:
    from kvdistill.config.build import build_node
    from kvdistill.errors import ConfigError

    build_node("compression", RANDOM)
    with pytest.raises(ConfigError, match=says):
        build_node("compression", RANDOM | change)


def test_a_node_inside_another_is_named_by_its_own_path() -> None:
    from kvdistill.config.build import check_node
    from kvdistill.errors import ConfigError

    node = {
        "_target_": "kvdistill.kv.random.Random",
        "_partial_": True,
        "seed": 0,
        "of": {"_target_": "kvdistill.compression.random.Random", "seed": 0.5},
    }
    with pytest.raises(ConfigError, match=r"^source\.of\.seed=0\.5 must be a whole number"):
        check_node("source", node)
