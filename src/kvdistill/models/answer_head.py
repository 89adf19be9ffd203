"""A causal LM in two: its decoder, and what makes logits of the decoder's last hidden states.

What a model does to its logits behind the output layer (a bias, scaling, soft-capping) is its own
code, so that code is kept: the decoder alone is taken out of the model, and states that were
computed elsewhere, or stored, pass through what is left.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kvdistill.errors import ConfigError
from kvdistill.models.attention.implementation import use_plain_attention
from kvdistill.models.attention.trace import choose_ids


class GivenStates(nn.Module):
    """Stands where a decoder stood, and ends in the states that it is given."""

    def __init__(self, kind: Callable[..., Any]) -> None:
        """`kind` is the class of the decoder's own outputs, whose other fields are then None."""
        super().__init__()
        self.kind = kind
        self.hidden: Tensor | None = None

    def forward(self, *_: Any, **__: Any) -> Any:
        """The states, as the decoder returned them."""
        return self.kind(last_hidden_state=self.hidden)


class AnswerHead(nn.Module):
    """Logits of last hidden states, each token alone; frozen."""

    def __init__(self, model: nn.Module, states: GivenStates, dtype: torch.dtype) -> None:
        """`model` is a causal LM in whose decoder's place `states` stands; `dtype` is theirs."""
        super().__init__()
        self.model, self.states, self.dtype = model, states, dtype

    def forward(self, hidden: Float[Tensor, "tokens width"]) -> Float[Tensor, "tokens vocab"]:
        """The logits that the model itself gives where its decoder ends in these states."""
        self.states.hidden = hidden.to(self.dtype)[None]
        # Ids are asked for by some models' code, and read by the decoder alone.
        ids = torch.zeros(1, len(hidden), dtype=torch.long, device=hidden.device)
        try:
            logits: Tensor = self.model(input_ids=ids, use_cache=False).logits
        finally:
            self.states.hidden = None
        return logits[0]


@torch.no_grad()
def split_causal_lm(model: Any, role: str) -> tuple[nn.Module, AnswerHead]:
    """(the decoder, final norm included; the head): frozen, in evaluation; a tied table is shared.

    Takes the model over. `role` is its config path. Raises ConfigError for a model whose logits are
    made of more than the decoder's last hidden states, seen to the bit on a few tokens.
    """
    model = model.eval().requires_grad_(False)
    body = model.get_decoder()
    place = next((name for name, part in model.named_modules() if part is body), "")
    if not place:
        raise ConfigError(describe_refusal(role, model, "has no decoder apart from its head"))
    device = next(body.parameters()).device
    ids = choose_ids(body.config.get_text_config()).to(device)
    with torch.autocast(device.type, enabled=False), use_plain_attention(model):
        whole = model(input_ids=ids, use_cache=False).logits[0]
        outputs = body(input_ids=ids, use_cache=False)
        hidden, states = outputs.last_hidden_state[0], GivenStates(type(outputs))
        parent, _, name = place.rpartition(".")
        setattr(model.get_submodule(parent), name, states)
        head = AnswerHead(model, states, hidden.dtype)
        apart = head(hidden)
    if not torch.equal(whole, apart):
        raise ConfigError(
            describe_refusal(role, model, "makes logits of more than its last hidden states")
        )
    return body, head


def describe_refusal(role: str, model: Any, reason: str) -> str:
    """One line, with the way out."""
    return (
        f"logits asks for the next-token distributions of {role}, but {type(model).__name__} "
        f"{reason}. Use logits=none, or another teacher."
    )
