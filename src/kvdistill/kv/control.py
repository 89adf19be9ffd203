"""A control: changes what another source gives, and is otherwise that source."""

from collections.abc import Callable, Sequence

from kvdistill.kv.base import CompressedKV, TeacherKV, TeacherRequest
from kvdistill.types import Tokens


class Control(TeacherKV):
    """Wraps the source `inner`, of which it changes what `read_texts` gives."""

    def __init__(self, request: TeacherRequest, of: Callable[..., TeacherKV]) -> None:
        """`of` builds the inner source."""
        self.inner = of(request=request)
        self.rotaries = self.inner.rotaries

    def read_kv_cache(self, tokens: Tokens, ids: Sequence[str]) -> list[CompressedKV]:
        """The changed K and V."""
        return list(self.read_texts(tokens, ids).compressed)

    def prefetch(self, tokens: Tokens, ids: Sequence[str]) -> None:
        """Announces the batch to the inner source."""
        self.inner.prefetch(tokens, ids)

    def close(self) -> None:
        """Closes the inner source."""
        self.inner.close()
