"""The term of a batch: mixtures, means and selection, in parts, with gradients."""

import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn

from kvdistill.errors import ConfigError, UserError
from kvdistill.logits.answer_logits import AnswerLogits, TeacherLogits
from kvdistill.logits.averaged import Averaged
from kvdistill.logits.forward_kl import ForwardKL
from kvdistill.logits.jsd import JSD
from kvdistill.logits.mean_distance import MeanDistance
from kvdistill.logits.objective import LogitObjective
from kvdistill.logits.reverse_kl import ReverseKL
from kvdistill.logits.same import Same, logsumexp_in_place
from kvdistill.logits.select import Select
from kvdistill.logits.vocabulary import TokenTable
from kvdistill.types import Tokens

DISTANCE = ForwardKL(temperature=2.0)


def build(mix, table, distance=DISTANCE, teachers=("a", "b")):
    return LogitObjective(
        1.0, distance, mix, Same(student=table, teachers=dict.fromkeys(teachers, table))
    )


def read_logits(model):
    return model.hidden if model.head is None else model.head(model.hidden)


@pytest.mark.parametrize("head", [True, False])
def test_a_mixture_is_compared_as_one_teacher_with_the_gradient_of_the_whole(
    answers, head, monkeypatch
):
    student, teachers, table = answers(head=head)
    objective = build(Averaged(teachers=["a", "b"], weights=[0.3, 0.7]), table)
    probs = [torch.softmax(each.hidden / 2, dim=1) for each in teachers.values()]
    expected = DISTANCE.measure_tokens(
        read_logits(student), (0.3 * probs[0] + 0.7 * probs[1]).log()
    )
    trained = [student.hidden, *(student.head.parameters() if head else ())]
    gradients = torch.autograd.grad(5 * expected.sum(), trained)
    for at_once in (1, 30, 10**6):  # tokens at a time: 1, 2, all
        monkeypatch.setattr("kvdistill.logits.same.PART_LOGITS", at_once)
        # What a CPU's cache holds, of what is multiplied at once.
        monkeypatch.setattr("kvdistill.logits.same.CACHE_LOGITS", at_once // 2)
        terms = objective.compute_terms(student, teachers)
        torch.testing.assert_close(terms.tokens, expected.detach())
        torch.testing.assert_close(terms.total, expected.sum())
        assert not terms.tokens.requires_grad
        found = torch.autograd.grad(5 * terms.total, trained)
        for a, b in zip(found, gradients, strict=True):
            torch.testing.assert_close(a, b)
        with torch.no_grad():
            assert torch.equal(objective.compute_terms(student, teachers).tokens, terms.tokens)


def test_a_mean_is_that_of_the_distances_to_each_teacher(answers):
    student, teachers, table = answers()
    terms = build(MeanDistance(teachers=["a", "b"], weights=[0.3, 0.7]), table).compute_terms(
        student, teachers
    )
    apart = [
        DISTANCE.measure_tokens(read_logits(student), DISTANCE.soften(each.hidden))
        for each in teachers.values()
    ]
    expected = 0.3 * apart[0] + 0.7 * apart[1]
    torch.testing.assert_close(terms.tokens, expected.detach())
    trained = [student.hidden, *student.head.parameters()]
    for a, b in zip(
        torch.autograd.grad(terms.total, trained),
        torch.autograd.grad(expected.sum(), trained),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_the_teacher_that_reads_a_text_best_is_followed_on_that_text(answers):
    student, teachers, table = answers()
    terms = build(Select(teachers=["a", "b"]), table).compute_terms(student, teachers)
    for text in (0, 1):
        rows = student.texts == text
        ce = {
            name: nn.functional.cross_entropy(each.hidden[rows], each.labels[rows])
            for name, each in teachers.items()
        }
        best = teachers[min(ce, key=ce.get)]
        expected = DISTANCE.measure_tokens(read_logits(student), DISTANCE.soften(best.hidden))
        torch.testing.assert_close(terms.tokens[rows], expected[rows].detach())
    assert {tuple(column) for column in terms.weights.T.tolist()} <= {(0, 1), (1, 0)}


@pytest.mark.parametrize("weights", [None, [0.2, 0.8]])
def test_a_mixture_of_equal_teachers_is_that_teacher(answers, weights):
    student, teachers, table = answers()
    alike = {"a": teachers["a"], "b": teachers["a"]}
    one = build(Averaged(teachers=["a"], weights=None), table, teachers=["a"])
    expected = one.compute_terms(student, {"a": teachers["a"]}).tokens
    for kind in (Averaged, MeanDistance):
        terms = build(kind(teachers=["a", "b"], weights=weights), table)
        torch.testing.assert_close(terms.compute_terms(student, alike).tokens, expected)


def test_a_student_that_is_its_teacher_has_a_term_of_0(answers):
    student, _, table = answers(head=False)
    twin = TeacherLogits(student.hidden.detach(), None, student.labels, student.texts, 2)
    for distance in (DISTANCE, ReverseKL(temperature=1.0)):
        objective = build(Averaged(teachers=["a"], weights=None), table, distance, ["a"])
        terms = objective.compute_terms(student, {"a": twin})
        terms.total.backward()
        assert terms.tokens.abs().max() < 1e-6
        assert student.hidden.grad.abs().max() < 1e-6


@pytest.mark.parametrize("mix", [Averaged, MeanDistance])
def test_a_token_that_a_teacher_excludes_leaves_term_and_gradient_finite(answers, mix):
    student, teachers, table = answers()
    shut = {name: replace(each, hidden=each.hidden.clone()) for name, each in teachers.items()}
    for each in shut.values():
        each.hidden[:, 0] = -torch.inf
    for distance in (DISTANCE, JSD(temperature=1.0, beta=0.5), ReverseKL(temperature=1.0)):
        objective = build(mix(teachers=["a", "b"], weights=None), table, distance)
        terms = objective.compute_terms(student, shut)
        terms.total.backward()
        assert terms.tokens.isfinite().all()
        assert student.hidden.grad.isfinite().all()
    far = build(mix(teachers=["a", "b"], weights=None), table).compute_terms(student, shut)
    assert (far.tokens < 20).all()  # what forward KL does not ask for costs nothing


@pytest.mark.parametrize("trains", [True, False])
def test_under_autocast_the_layer_alone_computes_in_half_precision(answers, trains):
    student, teachers, table = answers(vocab=700)
    objective = build(Averaged(teachers=["a", "b"], weights=None), table)
    with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(trains):
        logits = student.head(student.hidden)
        terms = objective.compute_terms(student, teachers)
    assert logits.dtype == torch.bfloat16
    given = AnswerLogits(logits.detach(), None, student.labels, student.texts, 2)
    assert torch.equal(terms.tokens, objective.compute_terms(given, teachers).tokens)


def test_hidden_states_and_output_layers_give_the_loss_and_gradients_of_trl(answers):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trl = pytest.importorskip("trl.trainer.distillation_trainer")
    student, _, table = answers(vocab=31)
    layer, hidden = nn.Linear(6, 31), torch.randn(7, 6)
    layer.requires_grad_(False)
    teacher = TeacherLogits(hidden, layer, student.labels, student.texts, 2)
    trained = [student.hidden, *student.head.parameters()]
    for distance, beta in ((ForwardKL(temperature=2.0), 0.0), (ReverseKL(temperature=1.0), 1.0),
                           (JSD(temperature=1.5, beta=0.3), 0.3)):  # fmt: skip
        objective = build(Averaged(teachers=["a"], weights=None), table, distance, ["a"])
        total = objective.compute_terms(student, {"a": teacher}).total
        total = total / 7 / distance.temperature**2  # which TRL leaves out
        loss, *_ = trl._chunked_divergence_loss(
            student.hidden[None], hidden[None], student.head.weight, layer.weight,
            torch.ones(1, 7), beta, None, student.head.bias, layer.bias,
            temperature=distance.temperature,
        )  # fmt: skip
        torch.testing.assert_close(total, loss, rtol=1e-6, atol=1e-6)
        pairs = (torch.autograd.grad(each, trained) for each in (total, loss))
        for own, theirs in zip(*pairs, strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-5, atol=1e-7)


def test_what_pads_a_vocabulary_changes_nothing(answers):
    student, teachers, table = answers(padding=3)
    objective = build(Averaged(teachers=["a", "b"], weights=None), table)
    cropped = {name: replace(each, hidden=each.hidden[:, :13]) for name, each in teachers.items()}
    whole = objective.compute_terms(student, teachers)
    assert torch.equal(whole.tokens, objective.compute_terms(student, cropped).tokens)
    padded = TokenTable([*table.token_bytes, None, None], table.eos_token_id)
    Same(student=table, teachers={"a": padded})


def test_padding_of_a_batch_is_not_read():
    ids = torch.tensor([[5, 6, 7, 8, 1], [5, 6, 9, 1, 1]])
    mask = torch.tensor([[True] * 5, [True] * 4 + [False]])
    answer = torch.tensor([[False, False, True, True, True], [False, True, True, True, True]])
    hidden = torch.randn(int((answer & mask).sum()), 4)
    read = AnswerLogits.from_tokens(Tokens(ids, mask, answer), hidden, None)
    assert read.labels.tolist() == [7, 8, 1, 6, 9, 1]
    assert read.texts.tolist() == [0, 0, 0, 1, 1, 1]
    assert read.batch == 2


def test_a_token_that_a_teacher_cut_otherwise_is_not_compared(answers):
    student, teachers, table = answers()
    labels = student.labels.clone()
    labels[2] = (labels[2] + 1) % 13
    teachers = {"a": replace(teachers["a"], labels=labels)}
    objective = build(Averaged(teachers=["a"], weights=None), table, teachers=["a"])
    terms = objective.compute_terms(student, teachers)
    assert terms.tokens[2] == 0
    assert (terms.tokens > 0).sum() == 6
    short = TeacherLogits(teachers["a"].hidden[:6], None, labels[:6], student.texts[:6], 2)
    short = {"a": short}
    with pytest.raises(UserError, match="into 6 tokens and the student into 7"):
        objective.compute_terms(student, short)


def test_a_teacher_of_another_tokenizer_is_refused_by_name(answers):
    *_, table = answers()
    other = TokenTable([b"?", *table.token_bytes[1:]], table.eos_token_id)
    with pytest.raises(ConfigError, match=r"teachers\.b has another tokenizer .*=chunks"):
        Same(student=table, teachers={"a": table, "b": other})


def test_no_more_logits_are_there_at_once_than_are_stated(answers, monkeypatch):
    student, teachers, table = answers()
    seen = []
    student.head.register_forward_hook(lambda *call: seen.append(call[2].numel()))
    monkeypatch.setattr("kvdistill.logits.same.PART_LOGITS", 26)
    build(Averaged(teachers=["a", "b"], weights=None), table).compute_terms(student, teachers)
    assert max(seen) == 26
    assert sum(seen) == 7 * 13  # each once: nothing is computed again for the gradient


def test_a_log_of_sums_in_place_is_pytorchs_to_the_bit():
    torch.manual_seed(0)
    x = 5 * torch.randn(3, 4, 50)
    x[:, 1] = -torch.inf
    x[0, 2] = -torch.inf
    assert torch.equal(logsumexp_in_place(x.clone()), x.logsumexp(dim=0))


def test_an_answer_without_tokens_has_a_term_of_0(answers):
    student, teachers, table = answers()
    empty = replace(student, hidden=student.hidden[:0], labels=student.labels[:0],
                    texts=student.texts[:0])  # fmt: skip
    none = {
        name: replace(each, hidden=each.hidden[:0], labels=each.labels[:0], texts=each.texts[:0])
        for name, each in teachers.items()
    }
    for mix in (Averaged(teachers=["a", "b"], weights=None), Select(teachers=["a", "b"])):
        terms = build(mix, table).compute_terms(empty, none)
        assert terms.total == 0
        terms.total.backward()
