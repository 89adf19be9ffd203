"""Each text faces what the teacher made of another: the control of the method itself.

What still helps under it is regularisation, not the teacher's knowledge of this text. Calibration
is the true teacher's, so that the target keeps the width, spread and projection of the arm that it
stands beside.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor, nn

from kvdistill.errors import UserError
from kvdistill.kv.base import TeacherKV
from kvdistill.kv.partners import partners
from kvdistill.types import KV, Layer, Tokens


class Shuffled(TeacherKV):
    """Token i of the next other text of the micro-batch, where both texts have one."""

    def __init__(
        self,
        body: nn.Module,
        layers: Sequence[int],
        *,
        attention: bool,
        rotary: bool,
        of: Callable[..., TeacherKV],
    ) -> None:
        """`of` builds the source whose readings are exchanged."""
        self.inner = of(body, layers, attention=attention, rotary=rotary)
        self.rotaries = self.inner.rotaries

    def read(self, tokens: Tokens, ids: Sequence[str]) -> dict[int, Layer]:
        """A text that only other styles of its own row stand beside is masked.

        Raises UserError for a micro-batch of one text.
        """
        if len(ids) < 2:
            raise UserError(
                "source=shuffled needs another text in each micro-batch. Set budget.batch_size to "
                "2 or more."
            )
        others, paired = partners(ids)
        mask = tokens.mask & tokens.mask[others] & paired[:, None].to(tokens.mask.device)
        theirs = Tokens(tokens.ids[others], mask, tokens.answer[others] & mask)
        found = self.inner.read(tokens, ids)
        return {at: exchanged(layer, others, theirs) for at, layer in found.items()}


def exchanged(layer: Layer, others: list[int], theirs: Tokens) -> Layer:
    """The layer with each row's partner in its place."""

    def swap(x: Tensor | None) -> Tensor | None:
        return None if x is None else x[others]

    return replace(
        layer,
        kv=KV(layer.kv.keys[others], layer.kv.values[others], theirs.mask),
        tokens=theirs,
        rotated_queries=swap(layer.rotated_queries),
        rotated_keys=swap(layer.rotated_keys),
    )
