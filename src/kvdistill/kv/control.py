"""A control: changes what another source gives, and is otherwise that source."""

from collections.abc import Callable, Sequence

from kvdistill.kv.base import TeacherKV, TeacherRequest
from kvdistill.types import Tokens


class Control(TeacherKV):
    """Wraps the source `inner`, whose K and V it changes."""

    def __init__(self, request: TeacherRequest, of: Callable[..., TeacherKV]) -> None:
        """`of` builds the inner source."""
        self.inner = of(request=request)
        self.rotaries = self.inner.rotaries

    def prefetch(self, tokens: Tokens, ids: Sequence[str]) -> None:
        """Announces the batch to the inner source."""
        self.inner.prefetch(tokens, ids)

    def close(self) -> None:
        """Closes the inner source."""
        self.inner.close()
