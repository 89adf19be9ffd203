"""Tiny models built from the split itself: the students and teachers of the nano scale.

A recipe trains a tokenizer on the teachers' half, initialises a Qwen2 or Llama of the given
geometry under a fixed seed, trains it (teachers only) on that half in the mixed style, and
writes a Hugging Face folder. The same bits every time.
"""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models.nano_tokenizer import train_tokenizer
from kvdistill.records import Record

CausalLM = Qwen2ForCausalLM | LlamaForCausalLM

STYLES = (
    ("Question: {question}\nReasoning:", " {rationale} #### {answer}"),
    ("Question: {question}\nAnswer:", " {answer}"),
)


@dataclass(frozen=True, kw_only=True)
class Nano:
    """A recipe; `steps: 0` leaves the model as initialised."""

    architecture: Literal["qwen2", "llama"]
    max_digits: int
    """Digits a token may pack: 1 as Qwen reads them, 3 as Llama 3 does."""
    rope_theta: float
    init_std: float
    seed: int
    steps: int
    batch_size: int
    lr: float

    def __post_init__(self) -> None:
        if self.architecture not in ("qwen2", "llama"):
            raise ConfigError(
                f"model.architecture must be qwen2 or llama, got {self.architecture}."
            )

    def build(
        self,
        geometry: Geometry,
        split: Path,
        out: Path,
        progress: Callable[[int, int], None],
    ) -> None:
        """Writes the model's folder to `out`. The global random state is left as it was."""
        texts = render(split / "train_teachers.jsonl")
        tokenizer = train_tokenizer(
            (prompt + answer for prompt, answer in texts), geometry.vocab_size, self.max_digits
        )
        with one_thread(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = self.initialise(geometry, tokenizer)
            self.train(model, encode(tokenizer, texts), progress)
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)

    def initialise(self, geometry: Geometry, tokenizer: PreTrainedTokenizerFast) -> CausalLM:
        """The untrained model; draws from the global generator."""
        shape = {
            "vocab_size": geometry.vocab_size,
            "hidden_size": geometry.hidden_size,
            "intermediate_size": geometry.intermediate_size,
            "num_hidden_layers": geometry.layers,
            "num_attention_heads": geometry.heads,
            "num_key_value_heads": geometry.kv_heads,
            "head_dim": geometry.head_dim,
            "tie_word_embeddings": geometry.tied_embeddings,
            "max_position_embeddings": 512,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "initializer_range": self.init_std,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "use_cache": True,
        }
        if self.architecture == "qwen2":
            return Qwen2ForCausalLM(Qwen2Config(**shape))
        return LlamaForCausalLM(LlamaConfig(**shape))

    def train(
        self,
        model: CausalLM,
        rows: list[tuple[list[int], int]],
        progress: Callable[[int, int], None],
    ) -> None:
        """Cross-entropy on the answers: AdamW, linear warm-up, cosine decay."""
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=self.lr, betas=(0.9, 0.98), weight_decay=0.01
        )
        warmup = max(1, self.steps // 10)
        model.train()
        for step, batch in zip(range(self.steps), self.batches(rows), strict=False):
            share = (step - warmup) / max(1, self.steps - warmup)
            rate = (step + 1) / warmup if step < warmup else 0.5 * (1 + math.cos(math.pi * share))
            for group in optimizer.param_groups:
                group["lr"] = self.lr * rate
            loss = answer_loss(model, batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            progress(step + 1, self.steps)
        model.eval()

    def batches(self, rows: list[tuple[list[int], int]]) -> Iterator[list[tuple[list[int], int]]]:
        """Batches of epoch after epoch, each in an order of its own."""
        generator = torch.Generator().manual_seed(self.seed)
        queue: list[int] = []
        while True:
            while len(queue) < self.batch_size:
                queue += torch.randperm(len(rows), generator=generator).tolist()
            yield [rows[i] for i in queue[: self.batch_size]]
            queue = queue[self.batch_size :]


def answer_loss(model: CausalLM, batch: list[tuple[list[int], int]]) -> Tensor:
    """Mean cross-entropy over the answers' tokens."""
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row, _ in batch])
    counted = torch.tensor(
        [[start <= i < len(row) for i in range(longest)] for row, start in batch]
    )
    # Padding lies on the right, where a causal model cannot look: no attention mask is needed.
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    return F.cross_entropy(model.lm_head(hidden[counted[:, 1:]]), ids[:, 1:][counted[:, 1:]])


def render(path: Path) -> list[tuple[str, str]]:
    """(prompt, answer) of every record, in each style."""
    with path.open(encoding="utf-8") as file:
        records = [Record(**json.loads(line)) for line in file]
    return [
        (prompt.format(**vars(record)), answer.format(**vars(record)))
        for record in records
        for prompt, answer in STYLES
    ]


def encode(
    tokenizer: PreTrainedTokenizerFast, texts: list[tuple[str, str]]
) -> list[tuple[list[int], int]]:
    """(token ids with EOS, index of the answer's first token) of each text."""
    prompts = tokenizer([prompt for prompt, _ in texts])["input_ids"]
    whole = tokenizer([prompt + answer for prompt, answer in texts])["input_ids"]
    return [
        ([*ids, tokenizer.eos_token_id], len(prompt))
        for prompt, ids in zip(prompts, whole, strict=True)
    ]


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one order: the bits do not depend on how many cores there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
