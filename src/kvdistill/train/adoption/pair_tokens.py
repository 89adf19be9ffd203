"""How two tokenizers divide the same texts: bytes both cover, ends in common, links and leaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kvdistill.alignment.base import Alignment
from kvdistill.alignment.report import AlignmentReport, measure_alignment
from kvdistill.data.check_tokenizers import PROBE
from kvdistill.data.prompt_style import RenderedText
from kvdistill.data.tokenise import TokenisedText, Tokeniser

SAMPLES = (
    PROBE,
    "A ferry carries 48 cars an hour for 7 hours and 12 more after dark, so it carries "
    "7 * 48 + 12 = 348 cars. The answer is 348.",
    "def mean(values: list[float]) -> float:\n    return sum(values) / len(values)  # 0 < n\n",
    "\u4e00\u5217\u706b\u8f66\u6bcf\u5c0f\u65f6\u884c\u9a76120\u516c\u91cc\uff0c3\u5c0f\u65f6"
    "\u884c\u9a76360\u516c\u91cc\u3002\u7b54\u6848\u662f360\u3002",
    "Which of these is a mammal? (A) trout (B) newt (C) otter (D) heron. Answer: C",
    "L'\u00e9t\u00e9 dernier, Zo\u00eb paya 1 299,50 \u20ac; \u00fcbrig blieb nichts \U0001f642.",
)
"""A fixed handful: what the study's texts are made of, and where tokenizers differ most."""


@dataclass(frozen=True, kw_only=True)
class TokenPairing:
    """Shares of the sample's bytes and of the student's tokens."""

    shared_bytes: float
    """Bytes that lie under a token of either."""
    common_ends: float
    """Of the student's tokens: where the teacher's tokens have a boundary too."""
    teacher_tokens: float
    """For each of the student's."""
    rates: dict[str, int | float | None]
    """As `AlignmentReport` has them: coverage and leaks, digits apart."""


def render_samples() -> list[RenderedText]:
    """The sample's texts, all answer."""
    return [
        RenderedText(id=f"sample-{number}", task="sample", style="sample", prompt="", answer=text)
        for number, text in enumerate(SAMPLES)
    ]


def pair_tokens(student: Tokeniser, teacher: Tokeniser, alignment: Alignment) -> TokenPairing:
    """Measures the two on the sample. Raises ConfigError where tokens spell no bytes."""
    texts = render_samples()
    pairs = list(zip(student(texts), teacher(texts), strict=True))
    report, sums = AlignmentReport(), np.zeros(5)
    for text, (own, other) in zip(texts, pairs, strict=True):
        content = text.text.encode()
        links = alignment(own.spans, other.spans)
        report += measure_alignment(own.spans, other.spans, links, content)
        ends, other_ends = list_ends(own), list_ends(other)
        covered = mark_bytes(own, len(content)) & mark_bytes(other, len(content))
        common = np.isin(ends, other_ends).sum()
        sums += (covered.sum(), len(content), common, len(ends), len(other_ends))
    shared, size, common, tokens, other_tokens = sums.tolist()
    return TokenPairing(
        shared_bytes=shared / size,
        common_ends=common / tokens,
        teacher_tokens=other_tokens / tokens,
        rates=report.compute_rates(),
    )


def list_ends(text: TokenisedText) -> Any:
    """Where each token ends that covers text."""
    return text.spans.ends[text.spans.ends > text.spans.starts]


def mark_bytes(text: TokenisedText, size: int) -> Any:
    """Whether each byte lies under a token."""
    changes = np.zeros(size + 1, dtype=int)
    np.add.at(changes, text.spans.starts, 1)
    np.add.at(changes, text.spans.ends, -1)
    return changes.cumsum()[:-1] > 0


def check_spelling(tokeniser: Tokeniser, texts: Sequence[RenderedText] | None = None) -> None:
    """Raises ConfigError where the tokens of the sample do not spell its bytes."""
    tokeniser(texts or render_samples())
