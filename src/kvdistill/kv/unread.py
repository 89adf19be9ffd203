"""No teacher is read: its answers are what is trained on (data.answers=teacher)."""

from collections.abc import Sequence

from kvdistill.errors import ConfigError
from kvdistill.kv.base import CompressedKV, TeacherKV, TeacherRequest
from kvdistill.types import Tokens


class Unread(TeacherKV):
    """Stands where a source stands; whoever asks it for K and V is refused."""

    def __init__(self, request: TeacherRequest) -> None:
        """Loads nothing."""
        self.request = request

    def read_kv_cache(self, tokens: Tokens, ids: Sequence[str]) -> list[CompressedKV]:
        """Raises ConfigError, as there are none."""
        raise ConfigError(
            "source=none reads no teacher, so there are no K and V to match. Use source=online."
        )
