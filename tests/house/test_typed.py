"""While tests run, what is called with another type or with axes that disagree is refused."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from beartype import beartype
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from kvdistill import layout
from kvdistill.kv.moments import Moments
from tests.typed import check_types, holds_array

CHECK: Callable[[Any], Any] = check_types(typechecker=beartype)
Matrix = Float[Tensor, "a b"]


def test_a_function_of_the_package_refuses_another_type() -> None:
    given: Any = 3
    with pytest.raises(TypeError):
        layout.find_artifacts_folder(given)
    assert layout.find_artifacts_folder(Path("/root/artifacts/split-1")) == Path("/root/artifacts")


def test_axes_that_disagree_are_refused() -> None:
    moments = Moments.empty(4, 2)
    moments.add(torch.zeros(5, 4), torch.zeros(5, 2))
    with pytest.raises(TypeError, match="tokens is 6"):
        moments.add(torch.zeros(5, 4), torch.zeros(6, 2))


def test_what_is_returned_has_the_axes_of_what_was_given() -> None:
    turn = CHECK(turn_over)
    assert turn(torch.zeros(2, 2)).shape == (2, 2)
    with pytest.raises(TypeError, match="return"):
        turn(torch.zeros(2, 3))


def turn_over(x: Float[Tensor, "a b"]) -> Float[Tensor, "a b"]:
    return x.T


def test_a_type_that_does_not_exist_yet_spares_no_other_argument() -> None:
    def pair(x: "Later", y: Matrix, z: Matrix) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    CHECK(pair)(0, torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(TypeCheckError):
        CHECK(pair)(0, torch.zeros(2, 3), torch.zeros(2, 2))


def test_an_array_is_noticed_wherever_it_stands_in_an_annotation() -> None:
    assert holds_array(dict[str, list[Matrix | None]])
    assert holds_array(Callable[[int, Matrix], None])
    assert not holds_array(Callable[[dict[str, Tensor]], list[int]])


def test_a_dataclass_is_asked_for_its_fields_types_and_axes() -> None:
    @CHECK
    @dataclass
    class Pair:
        name: str
        x: Matrix
        y: Matrix

    @CHECK
    class Child(Pair): ...

    for kind in (Pair, Child):
        assert kind("a", torch.zeros(2, 3), torch.ones(2, 3)).name == "a"
        for name, rows in ((3, 2), ("a", 4)):
            with pytest.raises(TypeError):
                kind(name, torch.zeros(2, 3), torch.zeros(rows, 3))
