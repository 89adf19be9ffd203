"""Logits of a causal LM at chosen tokens alone.

Logits over a vocabulary are a third of a small model's work, and a loss reads those of answers
only. A hook hands the LM head fewer hidden states, so that whatever the model does to its logits
afterwards (scaling, soft-capping) stays the model's own.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kvdistill.errors import ConfigError
from kvdistill.models.attention.implementation import use_plain_attention
from kvdistill.models.attention.trace import choose_ids
from kvdistill.models.decoder import find_decoder, get_compute_device
from kvdistill.types import Tokens


class LMHead:
    """Build it once, after PEFT has wrapped the model; called otherwise, the model is as before."""

    def __init__(self, model: Any) -> None:
        """Raises ConfigError for a model without an output layer of its own."""
        self._model = model
        self._positions: Tensor | None = None
        self._hidden: list[Tensor] | None = None
        """Where hidden states are kept instead of scored; None: they are scored."""
        head = model.get_output_embeddings()
        if not isinstance(head, nn.Module):
            raise ConfigError(
                f"student is a {type(model).__name__} without an output layer, so nothing scores "
                f"its next token. Use a causal language model."
            )
        self.layer = head
        """The output layer: the model's, not one's own."""
        head.register_forward_pre_hook(self._select_positions)

    def __call__(
        self, tokens: Tokens, chosen: Bool[Tensor, "batch seq"]
    ) -> Float[Tensor, "chosen vocab"]:
        """Runs the model's forward; the logits at the chosen tokens, text after text.

        Raises RuntimeError for a model whose logits do not come from its output layer.
        """
        return self._run_model(tokens, chosen, scored=True)

    def compute_hidden(
        self, tokens: Tokens, chosen: Bool[Tensor, "batch seq"]
    ) -> Float[Tensor, "chosen width"]:
        """Runs the model's forward; what its output layer would be given of the chosen tokens."""
        kept: list[Tensor] = []
        self._hidden = kept
        try:
            self._run_model(tokens, chosen, scored=False)
        finally:
            self._hidden = None
        return kept[0]

    def check_bare(self) -> None:
        """Raises ConfigError for a model that scales, caps or adds to what its output layer gives.

        Seen on a few tokens, in evaluation and without autocast.
        """
        decoder = find_decoder(self._model)
        ids = choose_ids(decoder.config.get_text_config()).to(get_compute_device(decoder))
        mask = torch.ones_like(ids, dtype=torch.bool)
        tokens, device = Tokens(ids, mask, mask), ids.device.type
        training, plain = self._model.training, use_plain_attention(self._model)
        self._model.eval()
        with torch.no_grad(), torch.autocast(device, enabled=False), plain:
            logits = self(tokens, mask)
            bare = self.layer(self.compute_hidden(tokens, mask)[None])[0]
        self._model.train(training)
        if not torch.allclose(logits, bare, rtol=1e-3, atol=1e-5):
            raise ConfigError(
                f"train.linear_ce: {type(self._model).__name__} changes what its output layer "
                f"gives (it scales or caps its logits), and would be trained on other logits than "
                f"it has. Use train.linear_ce=none."
            )

    def _run_model(
        self, tokens: Tokens, chosen: Bool[Tensor, "batch seq"], *, scored: bool
    ) -> Tensor:
        self._positions = find_places(tokens, chosen)
        try:
            outputs = self._model(**tokens.model_inputs, use_cache=False)
        finally:
            positions, self._positions = self._positions, None
        logits: Tensor = outputs.logits
        # A head that was replaced, or is bypassed, has not been given the chosen tokens alone.
        if logits.shape[:2] != (1, len(positions) if scored else 0):
            raise RuntimeError(f"{type(self._model).__name__} does not score through its head.")
        return logits[0]

    def _select_positions(self, _: nn.Module, args: tuple[Tensor, ...]) -> Tensor | None:
        if self._positions is None:
            return None
        hidden = args[0]
        # As one text of all chosen tokens: a head works on each token alone, and a model's own
        # code after it expects (batch, seq, vocab).
        flat = hidden.reshape(-1, hidden.shape[-1])
        chosen = torch.index_select(flat, 0, self._positions)
        if self._hidden is None:
            return chosen[None]
        self._hidden.append(chosen)
        return chosen[None, :0]


def find_places(tokens: Tokens, chosen: Bool[Tensor, "batch seq"]) -> Int[Tensor, " chosen"]:
    """Where the chosen tokens lie in the flattened rows that a model computes, text after text."""
    # A logit stands one token before what it predicts: where that is a batch keeps.
    is_predicted = chosen is tokens.logit_mask
    flat = tokens.label_places - 1 if is_predicted else chosen.flatten().nonzero().flatten()
    return flat if tokens.packed is None else tokens.packed.places.flatten()[flat]
