"""How much of what a student computes is texts, and how much padding.

Lengths are those of GSM8K's and MATH's questions with their worked answers, in the order and the
batches of a run at the paper's budget. With KVDISTILL_BENCHMARKS and KVDISTILL_TOKENIZERS set they
are counted on the rows themselves, else drawn as they were counted there once.
"""

import json
import math
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from kvdistill.data.packing import Packing, compute_real_share
from kvdistill.data.sampler import ResumableSampler
from tests.bench.gpu_ready.part import Part

SEQ_LEN, TEXTS, RANKS = 512, 32, 8
ROWS = {
    "gsm8k/main/train.jsonl": ("question", "answer"),
    "math500/test.jsonl": ("problem", "solution"),
}
SHARES = {"gsm8k": 0.15, "math": 0.24}
"""Of the study's mixture."""
DRAWN = {"gsm8k": (5.14, 0.36), "math": (5.41, 0.67)}
"""Mean and spread of the logarithm of a text's tokens (Qwen 3's, over 7,473 and 250 rows)."""
BYTES_SPREAD = 0.12
"""Of the logarithm of a text's bytes a token there: texts are grouped by bytes."""
WAYS = {
    "ungrouped": (False, None),
    "grouped": (True, None),
    "packed": (False, Packing()),
    "grouped_packed": (True, Packing()),
    "one_row": (False, Packing(one_row=True)),
}
"""Way -> whether texts are grouped by length, and how they share rows."""


def measure(quick: bool) -> dict[str, float]:
    """Real share of computed tokens by way; and of those that eight ranks could have computed.

    The latter, `step_share`, counts what ranks wait for the slowest of them.
    """
    texts = count_lengths() or draw_lengths(6_000)
    figures: dict[str, float] = {}
    for way, (grouped, packing) in WAYS.items():
        steps = list(iterate_steps(texts, 20 if quick else 100, grouped))
        micro = [lengths for step in steps for lengths in step]
        figures[f"real_share_{way}"] = compute_real_share(micro, packing)
        figures[f"step_share_{way}"] = compute_step_share(steps, packing)
    return figures


def compute_step_share(steps: Sequence[Sequence[Sequence[int]]], packing: Packing | None) -> float:
    """Real tokens over what all ranks would compute in the time of the slowest."""
    real = computed = 0.0
    for step in steps:
        sums = [sum(lengths) for lengths in step]
        shares = [compute_real_share([lengths], packing) for lengths in step]
        real += sum(sums)
        computed += len(step) * max(a / b for a, b in zip(sums, shares, strict=True))
    return real / computed


def iterate_steps(
    texts: Sequence[tuple[int, int]], steps: int, grouped: bool
) -> Iterator[list[list[int]]]:
    """The lengths that each rank reads in each step, as the sampler and accelerate divide them."""
    order = ResumableSampler(
        len(texts), steps * TEXTS * RANKS, 42,
        lengths=[size for _, size in texts] if grouped else None, batch_size=TEXTS * RANKS,
    )  # fmt: skip
    read = [min(texts[text][0], SEQ_LEN) for text in order]
    for start in range(0, len(read), TEXTS * RANKS):
        step = read[start : start + TEXTS * RANKS]
        yield [step[at : at + TEXTS] for at in range(0, len(step), TEXTS)]


def draw_lengths(count: int) -> list[tuple[int, int]]:
    """(tokens, bytes up to a factor) of that many texts."""
    draw, texts = random.Random(0), []
    for name in draw.choices(list(SHARES), list(SHARES.values()), k=count):
        tokens = max(1, round(math.exp(draw.gauss(*DRAWN[name]))))
        texts.append((tokens, round(100 * tokens * math.exp(draw.gauss(0, BYTES_SPREAD)))))
    return texts


def count_lengths() -> list[tuple[int, int]]:
    """(tokens, bytes) of the rows themselves, MATH's repeated; none where they are not there."""
    if not {"KVDISTILL_BENCHMARKS", "KVDISTILL_TOKENIZERS"} <= os.environ.keys():
        return []
    from tokenizers import Tokenizer

    folder = Path(os.environ["KVDISTILL_TOKENIZERS"]) / "tokenizer-qwen3" / "models"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    by_file = []
    for name, columns in ROWS.items():
        path = Path(os.environ["KVDISTILL_BENCHMARKS"]) / name
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        texts = ["\n".join(row[column] for column in columns) for row in rows]
        encoded = tokenizer.encode_batch(texts)
        by_file.append([(len(e.ids), len(t.encode())) for e, t in zip(encoded, texts, strict=True)])
    gsm8k, math_rows = by_file
    math_count = round(len(gsm8k) * SHARES["math"] / SHARES["gsm8k"])
    return gsm8k + [math_rows[number % len(math_rows)] for number in range(math_count)]


PART = Part(
    measure=measure,
    at_least={
        "real_share_packed": 0.95,
        "real_share_grouped_packed": 0.95,
        "real_share_one_row": 1.0,
    },
)
