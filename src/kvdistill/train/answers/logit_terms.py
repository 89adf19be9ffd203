"""The term of next-token distributions of a batch, from what the models gave of it."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from kvdistill.kv.base import TeacherReading
from kvdistill.logits.answer_logits import AnswerLogits, TeacherLogits
from kvdistill.logits.objective import LogitObjective, LogitTerms
from kvdistill.types import Batch, TeacherInputs, Tokens


def compute_logit_terms(
    objective: LogitObjective,
    batch: Batch,
    predicted: Tensor,
    head: nn.Module | None,
    readings: Mapping[str, TeacherReading],
    kv_weights: Tensor | None,
) -> LogitTerms:
    """The distance of the student's next-token distributions to the teachers', over a batch.

    `predicted` are the student's hidden states at its logit mask, which `head` makes logits of, or
    the logits where `head` is None. `kv_weights` (layers, teachers, batch) are those that the KV
    fusion gave the teachers in each text, or None without one.
    """
    student = AnswerLogits.from_tokens(batch.student, predicted, head)
    teachers = {
        name: read_teacher_logits(readings[name], inputs, batch.student)
        for name, inputs in batch.teachers.items()
    }
    # By text: a token that compression took from a teacher has its distribution all the same.
    fused = None if kv_weights is None else kv_weights.mean(dim=0)[:, student.texts]
    return objective.compute_terms(student, teachers, fused)


def read_teacher_logits(
    reading: TeacherReading, inputs: TeacherInputs, student: Tokens
) -> TeacherLogits:
    """One teacher's side, on the device of the batch."""
    answers = reading.answers
    assert answers is not None, "a run with logits asks its teachers for the states of answers"
    logits = TeacherLogits.from_reading(inputs, student, answers.hidden, answers.head)
    return logits if answers.given is None else leave_out_ungiven(logits, answers.given)


def leave_out_ungiven(logits: TeacherLogits, given: Bool[Tensor, " predicted"]) -> TeacherLogits:
    """The same where a control gives no state: such a token lies under none of the student's."""
    if logits.chunk is None or logits.student_chunk is None:
        return replace(logits, given=given)
    # A chunk counts as a whole or not at all.
    missing = logits.chunk[~given]
    chunk, student_chunk = (
        each.masked_fill(torch.isin(each, missing), -1)
        for each in (logits.chunk, logits.student_chunk)
    )
    return replace(logits, chunk=chunk, student_chunk=student_chunk, given=given)
