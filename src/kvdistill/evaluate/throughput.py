"""Throughput in new tokens a second: equal work for every model, so that only models differ."""

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvdistill.data.special_tokens import encode_texts, find_begin_ids
from kvdistill.evaluate.isolation import preserve_state

MOST_S = 60.0
"""Seconds after which a measurement begins no further round: slow ones are long enough."""


def compare_throughput(
    models: Sequence[PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    new_tokens: int = 32,
    repeats: int = 5,
    most_s: float = MOST_S,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> list[float]:
    """Median new tokens a second of each model, over a batch of `prompts`.

    The models take turns, so that a machine that is busy for a while slows all of them. Of at most
    `repeats` rounds none begins after `most_s` seconds, but one is measured always.
    """
    for model in models:
        # Pays for what is set up once: weights are read from their files, kernels are chosen.
        measure_throughput(model, tokenizer, prompts[:1], new_tokens=2)
    rounds: list[list[float]] = []
    began = perf_counter()
    while not rounds or (len(rounds) < repeats and perf_counter() - began < most_s):
        progress(len(rounds), repeats)
        rounds.append(
            [measure_throughput(model, tokenizer, prompts, new_tokens) for model in models]
        )
    return [median(rates) for rates in zip(*rounds, strict=True)]


def measure_throughput(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    new_tokens: int = 32,
) -> float:
    """New tokens a second of one batch of `prompts`, exactly `new_tokens` each.

    The model's mode and the tokenizer's padding are as before afterwards.
    """
    with preserve_state(model, tokenizer), torch.no_grad():
        model.eval()
        # Left, or new tokens would follow the padding of the shorter prompts.
        tokenizer.padding_side = "left"
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        begin = find_begin_ids(tokenizer)
        rows = [[*begin, *row] for row in encode_texts(tokenizer, prompts, markup=False)]
        batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
        ids, mask = batch["input_ids"].to(model.device), batch["attention_mask"].to(model.device)
        began = perf_counter()
        out = model.generate(  # type: ignore[operator]
            input_ids=ids, attention_mask=mask,
            min_new_tokens=new_tokens, max_new_tokens=new_tokens, do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        written = len(prompts) * (out.shape[1] - ids.shape[1])
        return written / (perf_counter() - began)
