"""Keys are compared before the rotary embedding: a linear map does not commute with it."""

from dataclasses import dataclass

from kvdistill.position.base import Position


@dataclass(frozen=True, kw_only=True)
class Unrotated(Position):
    """Leaves every key as captured."""
