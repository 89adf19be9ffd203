"""Competence as one number a teacher and text, or a teacher and token: higher is better.

Of a text the sum over the answer counts, not the mean over a teacher's own tokens: tokenizers cut
the same answer into other numbers of tokens, and shorter tokens are easier ones each.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.errors import ConfigError
from kvdistill.fusion.competence import Competence

MEASURES = {"ce": ("ce", -1.0), "entropy": ("entropy", -1.0), "max_prob": ("max_log_prob", 1.0)}
"""Measure -> (field of Competence, sign that makes more the better)."""


def check_measure(measure: str, field: str = "competence") -> str:
    """Raises ConfigError, naming the field of the fusion, for a measure that is none."""
    if measure not in MEASURES:
        raise ConfigError(f"fusion.{field}={measure} must be one of: {', '.join(MEASURES)}.")
    return measure


def check_temperature(temperature: float) -> float:
    """Raises ConfigError unless the temperature of the softmax over teachers is above 0."""
    if not temperature > 0:
        raise ConfigError(
            f"fusion.temperature must be above 0, got {temperature}. Use fusion=select for the "
            f"best teacher alone."
        )
    return temperature


def sum_texts(competence: Competence, measure: str) -> Float[Tensor, "teachers batch"]:
    """The measure summed over each answer, in nats; 0 of a text of which a teacher says nothing."""
    field, sign = MEASURES[measure]
    sums: Tensor = sign * getattr(competence, field) * competence.answer_tokens
    return sums


def score_texts(competence: Competence, measure: str) -> Float[Tensor, "teachers batch"]:
    """The sum over an answer divided by one number of tokens, the mean of the teachers': in nats.

    A teacher that says nothing of a text counts as the mean of those that do; 0 where none does.
    """
    known = competence.answer_tokens > 0
    tokens = average_known(competence.answer_tokens, known)
    scores = sum_texts(competence, measure) / tokens.clamp(min=1)
    return torch.where(known, scores, average_known(scores, known))


def score_tokens(competence: Competence, measure: str) -> Float[Tensor, "teachers batch seq"]:
    """The measure of each covered token; of one that a teacher says nothing of, that of its text.

    So in the prompt, which no teacher is asked about.
    """
    field, sign = MEASURES[measure]
    tokens: Tensor = sign * getattr(competence, f"token_{field}")
    texts = score_texts(competence, measure)[..., None]
    return torch.where(competence.token_mask, tokens, texts)


def average_known(x: Float[Tensor, "teachers batch"], known: Tensor) -> Float[Tensor, " batch"]:
    """Mean over the teachers that are known of a text; 0 where none is."""
    return (x * known).sum(dim=0) / known.sum(dim=0).clamp(min=1)
