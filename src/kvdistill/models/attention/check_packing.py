"""Whether a model keeps texts apart that share a row, proven by a forward over a few tokens.

What tells texts apart in a row is where their positions begin anew. A model may have no use for
positions (a recurrence, a convolution, ALiBi), or count its own: each text would then be read after
the one before it, and nothing would fail. So both ways are computed, and compared.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kvdistill.data.packing import Packing
from kvdistill.errors import ConfigError
from kvdistill.models.attention.small_copy import VOCABULARY, build_small_copy
from kvdistill.models.attention.trace import TraceError
from kvdistill.models.decoder import get_compute_device
from kvdistill.types import Tokens, move_to_device

LENGTHS = (9, 5, 7, 3)
"""Tokens of the texts: more than a small copy's window, and two full rows of two texts each."""
SMALL_WINDOW = 4
WINDOWS = ("sliding_window", "attention_chunk_size", "window_size", "local_attention_window")
"""What configs call how far a layer looks back."""
ALL_KINDS = 8
"""Layers in which a model has shown every kind of layer, where its config does not list them."""
TOLERANCE = 1e-3
"""Mean over tokens of how far outputs may differ, as a share of their length, in float32."""
ROUNDINGS = 16
"""The same in a narrower type, in roundings: in other rows kernels sum in another order."""
SAME_ROWS_ROUNDINGS = 4
"""Where rows are as they were: only experts, who share out other tokens, round otherwise."""
WAY_OUT = "Set train.packing=false; train.group_by_length=true leaves little padding to any model."

_answered: set[str] = set()
"""Configs that were not refused: the arms of a sweep ask the same."""


def check_packing(config: Any, role: str, packing: Packing) -> None:
    """Asks a small random copy of a transformers config's architecture, before any weights.

    Windows are narrowed, so that they are met. Raises ConfigError naming `role` (student,
    teachers.a) as `check_packed_forward` does; an architecture of which no small copy can be made
    is left to that.
    """
    question = f"{type(config).__name__} {config.to_json_string()} {packing}"
    if question in _answered:
        return
    config = copy.deepcopy(config.get_text_config())
    for name in WINDOWS:
        if isinstance(getattr(config, name, None), int):
            setattr(config, name, SMALL_WINDOW)
    try:
        model = build_small_copy(config, count_layers(config))
    except TraceError:
        return
    check_packed_forward(model, role, packing)
    _answered.add(question)


def count_layers(config: Any) -> int:
    """The lowest layers that hold one of each kind, two at least."""
    kinds: Sequence[str] | None = getattr(config, "layer_types", None)
    depth: int = config.num_hidden_layers
    if not kinds:
        return min(ALL_KINDS, depth)
    return min(max(2, *(kinds.index(kind) + 1 for kind in kinds)), depth)


@torch.no_grad()
def check_packed_forward(model: Any, role: str, packing: Packing) -> None:
    """Reads a few texts in shared rows and apart. Raises ConfigError where the outputs differ.

    And where those of a text change with the text before it, which a narrow type hides less.
    `model` is a causal LM or a body, where and as it will compute. Under ZeRO-3 every rank must
    call this.
    """
    apart = move_to_device(make_texts(model), get_compute_device(model))
    together = move_to_device(packing.pack_tokens(make_texts(model), 0), apart.ids.device)
    training = model.training
    model.eval()
    try:
        # Compiled layers would be compiled for these few tokens.
        with torch.compiler.set_stance("force_eager"):
            difference = measure_row_difference(model, apart, together)
            influence = measure_influence(model, together)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a model's own code raises
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ConfigError(
            f"{describe_model(model, role)} fails on rows of several texts, as train.packing makes "
            f"them ({reason}). {WAY_OUT}"
        ) from error
    finally:
        model.train(training)
    is_same = difference <= find_tolerance(model, ROUNDINGS)
    if not (is_same and influence <= find_tolerance(model, SAME_ROWS_ROUNDINGS)):
        raise ConfigError(
            f"{describe_model(model, role)} does not keep texts apart that share a row, as "
            f"train.packing puts them (its outputs differ by {difference:.1%} from those of a row "
            f"a text, and change by {influence:.1%} with the text before). {WAY_OUT}"
        )


def make_texts(model: Any) -> Tokens:
    """Texts of `LENGTHS`, unlike in every token."""
    size = getattr(model.config.get_text_config(), "vocab_size", VOCABULARY)
    count, longest = len(LENGTHS), max(LENGTHS)
    mask = torch.arange(longest) < torch.tensor(LENGTHS)[:, None]
    # From the middle of the vocabulary: its ends are padding and control tokens.
    ids = (torch.arange(count * longest).view(count, longest) * 7 + size // 2) % size
    return Tokens(ids.masked_fill(~mask, 0), mask, mask)


def measure_row_difference(model: Any, apart: Tokens, together: Tokens) -> float:
    """How far the outputs of texts in shared rows are from those of a row a text.

    A mean over tokens of |difference| / |output|: the first token of a text may have an output
    hundreds of times as long as the others, and would hide them.
    """
    assert together.packed is not None
    other = together.packed.unpack(read_outputs(model, together)[:, None])[:, 0][together.mask]
    return average_difference(read_outputs(model, apart)[apart.mask], other)


def measure_influence(model: Any, together: Tokens) -> float:
    """How far the outputs of later texts change where the first text of each row is another."""
    packed = together.packed
    assert packed is not None
    is_first = (packed.positions == 0).cumsum(dim=1) == 1
    ids = torch.where(is_first, packed.ids.roll(1, dims=1), packed.ids)
    changed = replace(together, packed=replace(packed, ids=ids))
    before, after = (read_outputs(model, each)[~is_first] for each in (together, changed))
    return average_difference(before, after)


def average_difference(
    one: Float[Tensor, "tokens size"], other: Float[Tensor, "tokens size"]
) -> float:
    """The mean over tokens of |difference| / |output|."""
    lengths = one.norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
    return float(((one - other).norm(dim=1) / lengths).mean())


def read_outputs(model: Any, tokens: Tokens) -> Float[Tensor, "rows width size"]:
    """A causal LM's logits, a body's last hidden states."""
    output: Tensor = model(**tokens.model_inputs, use_cache=False)[0]
    return output.float()


def find_tolerance(model: nn.Module, roundings: int) -> float:
    """How far outputs may differ by rounding alone."""
    device = get_compute_device(model)
    dtype = next(model.parameters()).dtype
    if torch.is_autocast_enabled(device.type):
        dtype = torch.get_autocast_dtype(device.type)
    return max(TOLERANCE, roundings * torch.finfo(dtype).eps)


def describe_model(model: Any, role: str) -> str:
    """As errors call it: teachers.a (GPT2LMHeadModel, attention by sdpa)."""
    attention = getattr(model.config, "_attn_implementation", None)
    by = f", attention by {attention}" if attention else ""
    return f"{role} ({type(model).__name__}{by})"
