"""Logits of a causal LM at chosen tokens alone.

Logits over a vocabulary are a third of a small model's work, and a loss reads those of answers
only. A hook hands the LM head fewer hidden states, so that whatever the model does to its logits
afterwards (scaling, soft-capping) stays the model's own.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kvdistill.errors import ConfigError
from kvdistill.types import Tokens


class LMHead:
    """Build it once, after PEFT has wrapped the model; called otherwise, the model is as before."""

    def __init__(self, model: Any) -> None:
        """Raises ConfigError for a model without an output layer of its own."""
        self._model = model
        self._positions: Tensor | None = None
        head = model.get_output_embeddings()
        if not isinstance(head, nn.Module):
            raise ConfigError(
                f"student is a {type(model).__name__} without an output layer, so nothing scores "
                f"its next token. Use a causal language model."
            )
        head.register_forward_pre_hook(self._select_positions)

    def __call__(
        self, tokens: Tokens, chosen: Bool[Tensor, "batch seq"]
    ) -> Float[Tensor, "chosen vocab"]:
        """Runs the model's forward; the logits at the chosen tokens, text after text.

        Raises RuntimeError for a model whose logits do not come from its output layer.
        """
        packed = tokens.packed
        self._positions = (
            chosen.flatten().nonzero().flatten() if packed is None else packed.places[chosen]
        )
        try:
            outputs = self._model(**tokens.model_inputs, use_cache=False)
        finally:
            positions, self._positions = self._positions, None
        logits: Tensor = outputs.logits
        # A head that was replaced, or is bypassed, has not been given the chosen tokens alone.
        if logits.shape[:2] != (1, len(positions)):
            raise RuntimeError(f"{type(self._model).__name__} does not score through its head.")
        return logits[0]

    def _select_positions(self, _: nn.Module, args: tuple[Tensor, ...]) -> Tensor | None:
        if self._positions is None:
            return None
        hidden = args[0]
        # As one text of all chosen tokens: a head works on each token alone, and a model's own
        # code after it expects (batch, seq, vocab).
        flat = hidden.reshape(-1, hidden.shape[-1])
        return torch.index_select(flat, 0, self._positions)[None]
