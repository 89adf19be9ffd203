"""What a model answers to a batch of prompts, through transformers' `generate`.

Greedy, or sampled by inverse transform (Devroye 1986, Non-Uniform Random Variate Generation,
chapter III.2): one uniform number for each row and token chooses on the cumulative distribution.
The numbers of a row come of its own seed, so that what it draws depends neither on the rows beside
it nor on what was written before, and no random state of the process is read or moved.
"""

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteriaList,
)

from kvdistill.data.special_tokens import encode_texts, find_begin_ids
from kvdistill.models.generation.stopping import CheckFiniteLogits, StopStrings, list_end_tokens

PLAIN_DECODING = {"num_beams": 1, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0}
"""What a checkpoint's own generation_config may set otherwise, and no setting of ours says."""


@dataclass(frozen=True)
class Prompt:
    """A text to be continued."""

    id: str
    """What its draws are seeded with, beside the seed."""
    text: str
    markup: bool = False
    """Whether a chat template wrote it, so that special tokens in it are read as such."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How tokens are chosen."""

    max_new_tokens: int
    temperature: float = 0.0
    """0: the likeliest token; else a draw from softmax(logits / temperature)."""
    seed: int = 0
    stops: Sequence[str] = ()
    """Strings that end an answer and are no part of it."""


@dataclass(frozen=True)
class WrittenText:
    """One answer."""

    text: str
    prompt_tokens: int
    tokens: int
    """That were written, the one that ended it counted in."""
    ended: bool
    """False where `max_new_tokens` ran out."""


@torch.no_grad()
def write_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    decoding: Decoding,
) -> list[WrittenText]:
    """The answer to each prompt, all of them in one batch.

    The model must be in evaluation, where it lies; its weights and mode stay. Raises
    NonFiniteLogitsError for a model that gives NaN.
    """
    rows = [encode_prompt(tokenizer, prompt) for prompt in prompts]
    ids, mask = pad_left(rows, choose_pad_id(tokenizer))
    ids, mask = ids.to(model.device), mask.to(model.device)
    start, end_ids = ids.shape[1], list_end_ids(model, tokenizer)
    stops = StopStrings(tokenizer, decoding.stops, start, len(rows))
    processors: list[LogitsProcessor] = [CheckFiniteLogits()]
    if decoding.temperature:
        draws = [draw_uniform(decoding.seed, each.id, decoding.max_new_tokens) for each in prompts]
        processors.append(DrawTokens(torch.stack(draws), start, decoding.temperature))
    out: Tensor = model.generate(  # type: ignore[operator]
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=decoding.max_new_tokens,
        # The draw, where there is one, leaves one token to choose.
        do_sample=False,
        stopping_criteria=StoppingCriteriaList([stops]) if stops.strings else None,
        logits_processor=LogitsProcessorList(processors),
        pad_token_id=choose_pad_id(tokenizer),
        eos_token_id=end_ids,
        use_cache=True,
        **PLAIN_DECODING,
    )
    written = out[:, start:].cpu()
    ends = torch.isin(written, torch.tensor(end_ids))
    done = stops.done.tolist()
    return [
        read_answer(tokenizer, row, written[at], ends[at], decoding.stops, stopped=done[at])
        for at, row in enumerate(rows)
    ]


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> list[int]:
    """Its ids, with what the tokenizer puts before a text by itself, and nothing behind it."""
    return [
        *find_begin_ids(tokenizer),
        *encode_texts(tokenizer, [prompt.text], markup=prompt.markup)[0],
    ]


def list_end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What ends an answer: as the checkpoint says, and the token that ends the texts trained on."""
    own = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    return sorted({*own, *list_end_tokens(model).tolist()})


def choose_pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that fills up rows; masked, so that any would do."""
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return int(pad)


def pad_left(
    rows: Sequence[Sequence[int]], pad_id: int
) -> tuple[Int[Tensor, "batch longest"], Int[Tensor, "batch longest"]]:
    """(ids, mask) with padding on the left: new tokens follow each prompt at once."""
    longest = max(map(len, rows))
    ids = torch.tensor([[pad_id] * (longest - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def read_answer(
    tokenizer: PreTrainedTokenizerBase,
    prompt: Sequence[int],
    written: Int[Tensor, " longest"],
    ends: Tensor,
    stops: Sequence[str],
    *,
    stopped: bool,
) -> WrittenText:
    """One row of the batch as text; what follows its end is filling."""
    places = ends.nonzero().flatten().tolist()
    kept = written[: places[0]].tolist() if places else written.tolist()
    text = decode_behind(tokenizer, prompt, kept)
    stopped_at = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    text = text[: min(stopped_at)] if stopped_at else text
    count = len(kept) + bool(places)
    return WrittenText(
        unicodedata.normalize("NFC", text), len(prompt), count, bool(places) or stopped
    )


def decode_behind(
    tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int], written: Sequence[int]
) -> str:
    """The text of ids behind a prompt's: alone, some tokenizers would lose its first space."""
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    before = str(tokenizer.decode(list(prompt), **options))
    whole = str(tokenizer.decode([*prompt, *written], **options))
    if whole.startswith(before):
        return whole.removeprefix(before)
    # A character whose bytes are divided between the two.
    return str(tokenizer.decode(list(written), **options))


def draw_uniform(seed: int, key: str, count: int) -> Float[Tensor, " count"]:
    """Numbers in [0, 1) that are a function of seed and key alone; float64, on the CPU."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    # 63 bits, within the range of manual_seed.
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.rand(count, generator=generator, dtype=torch.float64)


class DrawTokens(LogitsProcessor):
    """Leaves of each row the one token that its number chooses."""

    def __init__(self, draws: Float[Tensor, "batch new"], start: int, temperature: float) -> None:
        """`draws` has a number for each row and new token; prompts are `start` tokens long."""
        self.draws, self.start, self.temperature = draws, start, temperature

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        draw = self.draws[:, input_ids.shape[1] - self.start, None].to(scores.device)
        cumulative = torch.softmax(scores.double() / self.temperature, dim=1).cumsum(dim=1)
        # The first token whose sum is above the draw: one of probability 0 never is.
        chosen = (cumulative <= draw * cumulative[:, -1:]).sum(dim=1, keepdim=True)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)
