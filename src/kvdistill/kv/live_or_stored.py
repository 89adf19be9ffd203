"""The teachers' K and V as they are, read live or from a store in float32: one science, two costs.

In full precision where a batch is read from changes its loss by rounding alone (matrix products of
other batches), so it is execution, as the number of GPUs is. `estimate/choose_source.py` reckons
which costs less, for all runs of a command, and the recipe says what was chosen.
"""

from collections.abc import Sequence
from typing import ClassVar

from kvdistill.config.check_texts import STORED
from kvdistill.kv.base import CompressedKV, TeacherKV, TeacherReading, TeacherRequest
from kvdistill.kv.online import Online
from kvdistill.kv.shards import Stored
from kvdistill.kv.store import Store
from kvdistill.types import Tokens


class LiveOrStored(TeacherKV):
    """Is one of the two for a whole run."""

    gives_answers: ClassVar[bool] = True

    def __init__(self, request: TeacherRequest, *, stored: Stored, read: str | None) -> None:
        """`read` is `stored`, or `live`; where no plan has decided it is live."""
        self.inner: TeacherKV = Store(request, stored=stored) if read == STORED else Online(request)
        self.rotaries = self.inner.rotaries

    def read_kv_cache(self, tokens: Tokens, ids: Sequence[str]) -> list[CompressedKV]:
        """As the chosen one gives it."""
        return self.inner.read_kv_cache(tokens, ids)

    def read_texts(self, tokens: Tokens, ids: Sequence[str]) -> TeacherReading:
        """As the chosen one gives it."""
        return self.inner.read_texts(tokens, ids)

    def prefetch(self, tokens: Tokens, ids: Sequence[str]) -> None:
        """Announces the batch to the chosen one."""
        self.inner.prefetch(tokens, ids)

    def close(self) -> None:
        """Closes the chosen one."""
        self.inner.close()
