"""Distributions over two vocabularies, against literal loops over chunks and outcomes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.logits.answer_logits import AnswerLogits, TeacherLogits
from kvdistill.logits.averaged import Averaged
from kvdistill.logits.chunk_outcomes import measure_sorted_masses
from kvdistill.logits.chunks import ByChunks, split_at_chunks
from kvdistill.logits.forward_kl import ForwardKL
from kvdistill.logits.jsd import JSD
from kvdistill.logits.mean_distance import MeanDistance
from kvdistill.logits.objective import LogitObjective
from kvdistill.logits.reverse_kl import ReverseKL
from kvdistill.logits.same import Same
from kvdistill.logits.shared_tokens import match_tokens
from kvdistill.logits.vocabulary import TokenTable
from tests.logits.test_distances import loop_kl

STUDENT = TokenTable([b"1", b"2", b"12", b" a", b"x", b"s1", b"s2", b"<e>"], 7)
TEACHER = TokenTable([b"<end>", b"12", b" a", b"2", b"1", b"t", None, b"x", b"t2", b"t3"], 0)
# 1 2 | " a" | 12 | x (in no chunk) | end   beside   12 | " a" | 1 2 | end
OWN, OWN_CHUNK = [0, 1, 3, 2, 4, 7], [0, 0, 1, 2, -1, 3]
OTHER, OTHER_CHUNK = [1, 2, 4, 3, 0], [0, 1, 2, 2, 3]
SIDES = (OWN, OWN_CHUNK, STUDENT), (OTHER, OTHER_CHUNK, TEACHER)


def draw(seed=0, scale=2.0):
    torch.manual_seed(seed)
    student = AnswerLogits(
        scale * torch.randn(6, 8), None, torch.tensor(OWN), torch.zeros(6, dtype=torch.long), 1
    )
    student.hidden.requires_grad_()
    teacher = TeacherLogits(
        scale * torch.randn(5, 10), None, torch.tensor(OTHER), torch.zeros(5, dtype=torch.long), 1,
        chunk=torch.tensor(OTHER_CHUNK), student_chunk=torch.tensor(OWN_CHUNK),
    )  # fmt: skip
    return student, teacher


def build(distance, student=STUDENT, teacher=TEACHER, mix=None, **settings):
    by_chunks = ByChunks(
        student=student, teachers={"a": teacher}, **{"rest_weight": 1.0, "rest_top": 4} | settings
    )
    mix = mix or MeanDistance(teachers=["a"], weights=None)
    return LogitObjective(1.0, distance, mix, by_chunks)


def loop_outcomes(probs, labels, table, other_table, other_first):
    """(text, {bytes: probability of a shared token}, masses of the rest) of one chunk.

    `probs` are those at each token of the chunk, `labels` its tokens, `other_first` the other's
    first token.
    """

    def read_names(some):
        return ["END" if i == some.eos_token_id else b for i, b in enumerate(some.token_bytes)]

    names, others = read_names(table), read_names(other_table)
    known = set(others)
    text = math.prod(p[label] for p, label in zip(probs, labels, strict=True))
    shared, rest = {}, [probs[0][labels[0]] - text]
    for token, p in enumerate(probs[0]):
        name = names[token]
        if token == labels[0]:
            continue
        if name is not None and name in known and name != others[other_first]:
            shared[name] = p
        else:
            rest.append(p)
    return text, shared, rest


def loop_distance(kl, student, teacher, temperature, rest_weight, top, sides):
    """Distance of each chunk; `sides` are (labels, chunks, table) of student and teacher."""

    def soften(row):
        z = [math.exp(x / temperature) for x in row]
        total = sum(z)
        return [x / total for x in z]

    (own_labels, own_chunk, table), (other_labels, other_chunk, other_table) = sides
    distances = []
    for chunk in sorted(set(own_chunk) - {-1}):
        own = [i for i, n in enumerate(own_chunk) if n == chunk]
        other = [i for i, n in enumerate(other_chunk) if n == chunk]
        labels, others = [own_labels[i] for i in own], [other_labels[i] for i in other]
        text, shared, rest = loop_outcomes(
            [soften(student[i]) for i in own], labels, table, other_table, others[0]
        )
        text_t, shared_t, rest_t = loop_outcomes(
            [soften(teacher[i]) for i in other], others, other_table, table, labels[0]
        )
        names = sorted(shared, key=str)
        assert set(names) == set(shared_t)
        p = [text, *(shared[name] for name in names), sum(rest)]
        q = [text_t, *(shared_t[name] for name in names), sum(rest_t)]
        assert math.isclose(sum(p), 1, rel_tol=1e-6)
        assert math.isclose(sum(q), 1, rel_tol=1e-6)
        keep = [i for i in range(len(p)) if p[i] > 1e-9 or q[i] > 1e-9]
        matched = temperature**2 * kl([p[i] for i in keep], [q[i] for i in keep])
        a, b = sorted(rest, reverse=True), sorted(rest_t, reverse=True)
        count = min(top, len(a), len(b))
        apart = sum(abs(x - y) for x, y in zip(a[:count], b[:count], strict=True))
        apart += abs(sum(a[count:]) - sum(b[count:]))
        distances.append(matched + rest_weight * temperature * apart)
    return distances


KLS = {
    "forward": (ForwardKL, lambda p, q: loop_kl(q, p)),
    "reverse": (ReverseKL, loop_kl),
}


@pytest.mark.parametrize("name", KLS)
@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("rest_weight", [0.0, 0.5])
def test_a_chunks_distance_is_its_literal_loop_and_its_tokens_share_it(
    name, temperature, rest_weight
):
    kind, kl = KLS[name]
    student, teacher = draw()
    objective = build(kind(temperature=temperature), rest_weight=rest_weight, rest_top=2)
    terms = objective.compute_terms(student, {"a": teacher})
    expected = loop_distance(
        kl, student.hidden.tolist(), teacher.hidden.tolist(), temperature, rest_weight, 2, SIDES
    )
    first, second, third, fourth = expected
    torch.testing.assert_close(
        terms.tokens,
        torch.tensor([first / 2, first / 2, second, third, 0.0, fourth]),
        rtol=1e-4, atol=1e-6,
    )  # fmt: skip
    torch.testing.assert_close(terms.total, torch.tensor(sum(expected)), rtol=1e-4, atol=1e-6)
    assert terms.weights.tolist() == [[1, 1, 1, 1, 0, 1]]


def test_the_gradient_is_that_of_differences(monkeypatch):
    student, teacher = draw()
    objective = build(ForwardKL(temperature=1.0))
    terms = objective.compute_terms(student, {"a": teacher})
    terms.total.backward()
    direction = torch.randn_like(student.hidden)
    with torch.no_grad():
        step = 1e-3
        ends = [
            objective.compute_terms(
                replace(student, hidden=student.hidden + sign * step * direction), {"a": teacher}
            ).total
            for sign in (1, -1)
        ]
    slope = (ends[0] - ends[1]) / (2 * step)
    torch.testing.assert_close((student.hidden.grad * direction).sum(), slope, rtol=0.01, atol=1e-3)
    assert (student.hidden.grad[4] == 0).all()
    # A few tokens at a time, never within a chunk, is the same.
    monkeypatch.setattr("kvdistill.logits.chunks.PART_LOGITS", 10)
    torch.testing.assert_close(
        objective.compute_terms(student, {"a": teacher}).tokens, terms.tokens
    )


@pytest.mark.parametrize("distance", [ForwardKL(temperature=2.0), JSD(temperature=1.0, beta=0.4)])
def test_a_teacher_of_the_same_tokenizer_is_compared_token_by_token(distance):
    student, _ = draw()
    logits = torch.randn(6, 8)
    twin = TeacherLogits(
        logits, None, student.labels, student.texts, 1,
        chunk=torch.arange(6), student_chunk=torch.arange(6),
    )  # fmt: skip
    tokens = build(distance, STUDENT, STUDENT).compute_terms(student, {"a": twin}).tokens
    same = LogitObjective(
        1.0, distance, Averaged(teachers=["a"], weights=None),
        Same(student=STUDENT, teachers={"a": STUDENT}),
    )  # fmt: skip
    assert torch.equal(tokens, same.compute_terms(student, {"a": twin}).tokens)
    # And by chunks of one token, since all outcomes then are shared, the same.
    objective = build(distance, STUDENT, STUDENT)
    objective.vocabulary.same.clear()
    torch.testing.assert_close(
        objective.compute_terms(student, {"a": twin}).tokens, tokens, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    "kind", [ForwardKL, ReverseKL, lambda temperature: JSD(temperature=temperature, beta=0.5)]
)
def test_a_student_that_is_its_teacher_is_at_distance_0(kind):
    student, _ = draw()
    chunk = torch.tensor([0, 0, 1, 1, 1, 2])
    twin = TeacherLogits(
        student.hidden.detach(), None, student.labels, student.texts, 1, chunk=chunk,
        student_chunk=chunk,
    )  # fmt: skip
    objective = build(kind(temperature=2.0), STUDENT, STUDENT)
    objective.vocabulary.same.clear()
    terms = objective.compute_terms(student, {"a": twin})
    terms.total.backward()
    assert terms.tokens.abs().max() < 1e-6
    assert student.hidden.grad.abs().max() < 1e-5


def test_names_of_tokens_that_are_not_shared_do_not_matter():
    student, teacher = draw()
    objective = build(ForwardKL(temperature=1.0))
    expected = objective.compute_terms(student, {"a": teacher}).tokens
    # The teacher's t, None, t2 and t3 stand at 5, 6, 8 and 9.
    order = [0, 1, 2, 3, 4, 9, 5, 7, 6, 8]
    renamed = replace(teacher, hidden=teacher.hidden[:, order])
    torch.testing.assert_close(objective.compute_terms(student, {"a": renamed}).tokens, expected)


def test_sorted_masses_are_compared_by_rank_in_whichever_order_they_come():
    torch.manual_seed(0)
    own, other = torch.rand(3, 6), torch.rand(3, 9)
    a, b = (x.sort(dim=1, descending=True).values for x in (own, other))
    whole = (torch.nn.functional.pad(a, (0, 3)) - b).abs().sum(dim=1)
    found = measure_sorted_masses(own[:, torch.randperm(6)], other[:, torch.randperm(9)], 6)
    torch.testing.assert_close(found, whole)
    torch.testing.assert_close(found, measure_sorted_masses(other, own, 6))
    assert (measure_sorted_masses(own, other, 2) <= whole + 1e-6).all()
    assert (measure_sorted_masses(own, own, 2) == 0).all()


def test_an_output_layer_of_another_size_than_the_tokenizer_says_the_same():
    student, teacher = draw()
    objective = build(ReverseKL(temperature=1.0))
    expected = objective.compute_terms(student, {"a": teacher}).tokens
    wide = replace(teacher, hidden=torch.cat([teacher.hidden, torch.randn(5, 3)], dim=1))
    assert torch.equal(objective.compute_terms(student, {"a": wide}).tokens, expected)
    narrow = replace(teacher, hidden=teacher.hidden[:, :9])
    assert objective.compute_terms(student, {"a": narrow}).tokens.isfinite().all()


def test_ids_of_equal_bytes_are_matched_and_so_are_the_ends_of_text():
    tables = match_tokens(STUDENT, TEACHER)
    pairs = list(zip(tables.student.shared.tolist(), tables.teacher.shared.tolist(), strict=True))
    assert pairs == [(0, 4), (1, 3), (2, 1), (3, 2), (4, 7), (7, 0)]
    assert tables.student.rest.tolist() == [5, 6]
    assert tables.teacher.rest.tolist() == [5, 6, 8, 9]
    assert tables.teacher.column.tolist() == [5, 2, 3, 1, 0, -1, -1, 4, -1, -1]


def test_tokens_are_split_at_chunks_alone():
    student = np.array([-1, 0, 0, 1, -1, 2, 2, 2, 3, -1])
    teacher = np.array([0, 1, 1, 2, 3])

    def split(size):
        parts = split_at_chunks(student, teacher, size)
        return [(a.start, a.stop, b.start, b.stop) for a, b in parts]

    assert split(3) == [(1, 4, 0, 3), (5, 8, 3, 4), (8, 9, 4, 5)]
    assert split(99) == [(1, 9, 0, 5)]
    # A chunk that is longer stands alone.
    assert [part[:2] for part in split(1)] == [(1, 3), (3, 4), (5, 8), (8, 9)]
    assert list(split_at_chunks(np.array([-1, -1]), np.array([-1]), 4)) == []


def test_answers_without_a_chunk_have_a_term_of_0():
    student, teacher = draw()
    none = replace(teacher, chunk=torch.full((5,), -1), student_chunk=torch.full((6,), -1))
    terms = build(ForwardKL(temperature=1.0)).compute_terms(student, {"a": none})
    assert terms.total == 0
    terms.total.backward()
    assert (student.hidden.grad == 0).all()


def test_settings_that_are_none_are_refused():
    for settings, message in (
        ({"rest_weight": -1.0}, "rest_weight=-1.0 must be 0 or more"),
        ({"rest_top": 0}, "rest_top=0 must be at least 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            build(ForwardKL(temperature=1.0), **settings)
