"""Where a teacher's K and V come from."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from kvdistill.kv.rotary import Rotary
from kvdistill.types import Layer, Tokens


class TeacherKV(ABC):
    """Gives the layers that the layer map needs; never has a gradient.

    Built from (body, layers, *, attention, rotary), as `kv.online.Online` says them.
    """

    rotaries: Mapping[int, Rotary]
    """The teacher's own, by layer."""

    @abstractmethod
    def read(self, tokens: Tokens, ids: Sequence[str]) -> dict[int, Layer]:
        """Teacher layer -> what it holds of these texts; `ids` are the rows' ids."""
