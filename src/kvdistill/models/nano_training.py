"""How the project trains its own teachers: on answers only, in one thread, to the same bits twice.

Muon trains the matrices inside a nano teacher's layers, AdamW the rest: with AdamW alone, teachers
stayed near the student's accuracy in the minute of one core that they may take.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import AdamW, Muon, Optimizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvdistill.data.prompt_style import RenderedText, Style
from kvdistill.data.special_tokens import find_begin_ids
from kvdistill.data.split import read_split_part
from kvdistill.errors import ConfigError


class EncodedText(NamedTuple):
    """A text to train on."""

    ids: list[int]
    answer_start: int
    """Index of the answer's first token."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """Steps, batches and learning rate: warmed up over a tenth of the steps, then a cosine."""

    steps: int
    batch_size: int
    lr: float
    muon: bool = True
    """False: AdamW alone, where Muon would take longer for a step than the model itself."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "lr"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"build.training.{name} must be positive, got {getattr(self, name)}. "
                    f"Use build.training=null for an untrained model."
                )

    def train_model(
        self,
        model: PreTrainedModel,
        rows: list[EncodedText],
        seed: int,
        progress: Callable[[int, int], None],
    ) -> None:
        """Trains in place; calls `progress(steps_done, steps)` after each step."""
        optimizers = make_optimizers(model, self.lr, muon=self.muon)
        batches = iterate_batches(rows, self.batch_size, seed)
        model.train()
        for step in range(self.steps):
            answer_loss(model, next(batches)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self.lr * compute_lr_factor(step, self.steps)
                optimizer.step()
                optimizer.zero_grad()
            progress(step + 1, self.steps)
        model.eval()


def make_optimizers(model: PreTrainedModel, lr: float, *, muon: bool) -> list[Optimizer]:
    """AdamW for embeddings, norms and biases, and for the layers' matrices unless Muon has them."""
    adamw = partial(AdamW, lr=lr, weight_decay=0.01, betas=(0.9, 0.98))
    if not muon:
        return [adamw(model.parameters())]
    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    matrix_ids = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in matrix_ids]
    # One learning rate serves both: Muon's update is scaled to the size of AdamW's.
    muon_optimizer = Muon(matrices, lr=lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    return [muon_optimizer, adamw(others)]


def compute_lr_factor(step: int, steps: int) -> float:
    """Share of the peak learning rate at a step, in (0, 1]: linear warm-up, then a cosine."""
    warmup = max(1, steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def render_split(split: Path, style: Style) -> list[RenderedText]:
    """The teachers' half of a split's training records, in a style.

    A record without a rationale is rendered by the templates that ask for none, if there are any.
    """
    records = read_split_part(split, "train_teachers")
    unreasoned = {
        name: template
        for name, template in style.templates.items()
        if "{rationale}" not in template["prompt"] + template["answer"]
    }
    direct = replace(style, templates=unreasoned or style.templates)
    return [
        text
        for record in records
        for text in (style if record.rationale else direct).render(record)
    ]


def encode_text(tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str) -> EncodedText:
    """A text as token ids, as `Tokeniser` reads it, with EOS, and where its answer begins.

    Prompt and answer are tokenised as one text, as the models will read it; a token that holds
    bytes of both counts as the prompt's.
    """
    encoding = tokenizer(
        prompt + answer,
        return_offsets_mapping=True,
        add_special_tokens=False,
        split_special_tokens=True,
    )
    begin_ids = find_begin_ids(tokenizer)
    start = len(begin_ids) + sum(begin < len(prompt) for begin, _ in encoding["offset_mapping"])
    return EncodedText([*begin_ids, *encoding["input_ids"], tokenizer.eos_token_id], start)


def iterate_batches(
    rows: list[EncodedText], batch_size: int, seed: int
) -> Iterator[list[EncodedText]]:
    """Full batches without end; every pass over the rows has an order of its own.

    Every four batches are sliced from their rows sorted by length: less padding to compute.
    """
    generator = torch.Generator().manual_seed(seed)
    queue: list[int] = []
    while True:
        while len(queue) < 4 * batch_size:
            queue += torch.randperm(len(rows), generator=generator).tolist()
        by_length = sorted(queue[: 4 * batch_size], key=lambda index: len(rows[index].ids))
        del queue[: 4 * batch_size]
        for place in torch.randperm(4, generator=generator).tolist():
            yield [
                rows[index] for index in by_length[place * batch_size : (place + 1) * batch_size]
            ]


def answer_loss(model: PreTrainedModel, batch: list[EncodedText]) -> Tensor:
    """Mean cross-entropy (nats) over the answers' tokens, EOS among them."""
    longest = max(len(ids) for ids, _ in batch)
    # Padding lies on the right, where a causal model cannot look: no attention mask is needed.
    ids = torch.tensor([row + [0] * (longest - len(row)) for row, _ in batch])
    is_answer = torch.tensor(
        [[begin <= at < len(row) for at in range(longest)] for row, begin in batch]
    )
    # The head runs on the answers alone; position t - 1 predicts token t.
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    return F.cross_entropy(model.lm_head(hidden[is_answer[:, 1:]]), ids[:, 1:][is_answer[:, 1:]])


@contextmanager
def one_thread() -> Iterator[None]:
    """While this is open torch sums in one order: bits do not depend on the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
