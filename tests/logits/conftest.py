"""Answers as student and teachers see them, drawn."""

import pytest
import torch
from torch import nn

from kvdistill.logits.answer_logits import AnswerLogits, TeacherLogits
from kvdistill.logits.vocabulary import TokenTable

TEXTS = torch.tensor([0, 0, 0, 1, 1, 1, 1])


@pytest.fixture
def answers():
    """(student, teachers a and b, table): 7 predicted tokens of 2 texts, `vocab` tokens."""

    def make(vocab=13, seed=0, head=True, padding=0):
        torch.manual_seed(seed)
        labels = torch.randint(vocab, (len(TEXTS),))
        layer = nn.Linear(5, vocab) if head else None
        hidden = torch.randn(len(TEXTS), 5 if head else vocab, requires_grad=True)
        student = AnswerLogits(hidden, layer, labels, TEXTS, 2)
        teachers = {
            name: TeacherLogits(
                3 * torch.randn(len(TEXTS), vocab + padding), None, labels, TEXTS, 2
            )
            for name in "ab"
        }
        table = TokenTable([str(i).encode() for i in range(vocab - 1)] + [b"<e>"], vocab - 1)
        return student, teachers, table

    return make
