"""How well each teacher predicts the answers of a batch, measured where a fusion asks for it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from kvdistill.fusion.competence import Competence
from kvdistill.kv.base import TeacherReading
from kvdistill.logits.answer_logits import TeacherLogits
from kvdistill.train.answers.logit_terms import read_teacher_logits
from kvdistill.train.covered_tokens import CoveredTokens
from kvdistill.types import Batch

SCORED_ROWS = 256
"""Tokens whose logits are there at once."""


@torch.no_grad()
def measure_competence(
    readings: Mapping[str, TeacherReading], batch: Batch, covered: CoveredTokens
) -> Competence:
    """How well each teacher predicts the answers, by text and on the covered student tokens.

    A student token has the mean of the answer tokens that its links lead to, by their weights.
    """
    by_text, by_token, masks, counts = [], [], [], []
    for name, inputs in batch.teachers.items():
        facts = score_answers(read_teacher_logits(readings[name], inputs, batch.student))
        mask = inputs.tokens.label_mask
        flat = facts.new_zeros(*mask.shape, 4)
        flat[mask] = facts
        sums = flat.sum(dim=1)
        by_text.append(sums[:, :3] / sums[:, 3:].clamp(min=1))
        counts.append(sums[:, 3])
        linked = inputs.links.apply(flat.flatten(0, 1))
        tokens = linked.gather(1, covered.positions[..., None].expand(-1, -1, 4))
        counted = (tokens[..., 3] > 0) & covered.mask
        by_token.append(tokens[..., :3] / tokens[..., 3:].masked_fill(~counted[..., None], 1))
        masks.append(counted)
    texts, mask = torch.stack(by_text), torch.stack(masks)
    each = torch.stack(by_token).masked_fill(~mask[..., None], 0)
    return Competence(
        ce=texts[..., 0], entropy=texts[..., 1], max_log_prob=texts[..., 2],
        token_ce=each[..., 0], token_entropy=each[..., 1], token_max_log_prob=each[..., 2],
        token_mask=mask, answer_tokens=torch.stack(counts),
    )  # fmt: skip


def score_answers(logits: TeacherLogits) -> Tensor:
    """(predicted, 4): cross-entropy, entropy and largest log-probability in nats, and 1; float32.

    All 0 at a token of which a control gives nothing.
    """
    parts = []
    rows = zip(logits.hidden.split(SCORED_ROWS), logits.labels.split(SCORED_ROWS), strict=True)
    for hidden, labels in rows:
        log_probs = logits.score_rows(hidden).float().log_softmax(dim=-1)
        ce = -log_probs.gather(1, labels[:, None])[:, 0]
        entropy = -(log_probs.exp() * log_probs.masked_fill(log_probs.isneginf(), 0)).sum(dim=1)
        parts.append(torch.stack((ce, entropy, log_probs.amax(dim=1), torch.ones_like(ce)), dim=1))
    facts = torch.cat(parts)
    return facts if logits.given is None else facts * logits.given[:, None]
