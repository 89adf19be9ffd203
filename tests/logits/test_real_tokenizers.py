"""Chunks between the real tokenizers of Qwen 3 and Llama 3.1, against the literal loop.

Needs KVDISTILL_TOKENIZERS (see tests/alignment/test_real_tokenizers.py).
"""

import torch

from kvdistill.data.prompt_style import RenderedText
from kvdistill.data.text_chunks import NO_CHUNK, find_chunks
from kvdistill.logits.answer_logits import AnswerLogits, TeacherLogits
from kvdistill.logits.chunks import ByChunks
from kvdistill.logits.forward_kl import ForwardKL
from kvdistill.logits.mean_distance import MeanDistance
from kvdistill.logits.objective import LogitObjective
from kvdistill.logits.vocabulary import TokenTable
from tests.alignment.test_real_tokenizers import readers  # noqa: F401 - a fixture
from tests.logits.test_chunks import loop_distance
from tests.logits.test_distances import loop_kl


def draw_logits(tokens, vocabulary, seed):
    # Sharp enough that masses are not all alike.
    generator = torch.Generator().manual_seed(seed)
    return 4 * torch.randn(tokens, vocabulary, generator=generator)


def test_digits_that_are_split_otherwise_are_compared_as_the_loop_says(readers):  # noqa: F811
    text = RenderedText(id="0", task="t", style="s", prompt="The sum:", answer=" 1234")
    tables = [TokenTable.from_tokeniser(reader) for reader in readers]
    texts = [reader([text])[0] for reader in readers]
    chunks = find_chunks(*texts)
    sides, models = [], []
    for side, (read, numbers, table) in enumerate(
        zip(texts, (chunks.student, chunks.teacher), tables, strict=True)
    ):
        labels, kept = torch.tensor(read.ids[read.answer]), numbers[read.answer]
        assert (kept != NO_CHUNK).all()
        sides.append((labels.tolist(), kept.tolist(), table))
        logits = draw_logits(len(labels), len(table.token_bytes), side)
        models.append((logits, None, labels, torch.zeros_like(labels), 1))
    # Qwen writes four digits, Llama a token of three and one more.
    assert len(sides[0][0]) > len(sides[1][0])
    assert len(set(sides[0][1])) < len(sides[0][0])
    student = AnswerLogits(*models[0])
    teacher = TeacherLogits(
        *models[1], chunk=torch.tensor(sides[1][1]), student_chunk=torch.tensor(sides[0][1])
    )
    vocabulary = ByChunks(
        student=tables[0], teachers={"a": tables[1]}, rest_weight=1.0, rest_top=256
    )
    objective = LogitObjective(
        1.0, ForwardKL(temperature=2.0), MeanDistance(teachers=["a"], weights=None), vocabulary
    )
    terms = objective.compute_terms(student, {"a": teacher})
    expected = loop_distance(
        lambda p, q: loop_kl(q, p), student.hidden.tolist(), teacher.hidden.tolist(), 2.0, 1.0,
        256, sides,
    )  # fmt: skip
    found = [
        sum(d for d, n in zip(terms.tokens.tolist(), sides[0][1], strict=True) if n == chunk)
        for chunk in sorted(set(sides[0][1]))
    ]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-4, atol=1e-5)
    tokens = vocabulary.tables["a"].student
    # Most of what they write they share.
    assert len(tokens.shared) > 0.6 * len(tokens.column)
