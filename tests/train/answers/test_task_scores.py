"""Fusions weigh teachers by what whole models say of tokens, texts and tasks."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from kvdistill.errors import UserError
from tests.train.conftest import make_batch, make_teacher

Make = Callable[..., Any]


def score_by_hand(name: str, tokens: Any) -> dict[tuple[int, int], tuple[float, float, float]]:
    """(text, token) -> (ce, entropy, max log prob) of each predicted answer token, in a loop."""
    import torch

    inputs = {"input_ids": tokens.ids, "attention_mask": tokens.mask.long()}
    logits = make_teacher(name).eval()(**inputs).logits
    facts = {}
    for text, place in tokens.label_mask.nonzero().tolist():
        log_probs = torch.log_softmax(logits[text, place - 1].detach().float(), dim=0)
        entropy = -sum(math.exp(float(p)) * float(p) for p in log_probs)
        facts[text, place] = (
            -float(log_probs[tokens.ids[text, place]]), entropy, float(log_probs.max())
        )  # fmt: skip
    return facts


def measure(module: Any, batch: Any) -> tuple[Any, Any]:
    from kvdistill.train.answers.competence import measure_competence
    from kvdistill.train.covered_tokens import CoveredTokens

    covered = CoveredTokens.from_links([each.links for each in batch.teachers.values()])
    return measure_competence(module.read_teachers(batch), batch, covered), covered


def test_competence_is_the_literal_loop(distiller: Make) -> None:
    batch = make_batch(lengths=(9, 6), more=2, pad=3)
    module = distiller("fusion=competence").eval()
    seen, covered = measure(module, batch)
    fields = ("ce", "entropy", "max_log_prob")
    for row, (name, inputs) in enumerate(batch.teachers.items()):
        facts = score_by_hand(name, inputs.tokens)
        links = inputs.links
        for text in range(2):
            own = [value for (of, _), value in facts.items() if of == text]
            assert float(seen.answer_tokens[row, text]) == len(own)
            for index, field in enumerate(fields):
                mean = sum(value[index] for value in own) / len(own)
                assert float(getattr(seen, field)[row, text]) == pytest.approx(mean, rel=1e-4)
        counts = links.link_counts.tolist()
        for bag, (start, count) in enumerate(zip(links.offsets.tolist(), counts, strict=True)):
            text, token = divmod(bag, links.student_seq)
            at = [i for i, p in enumerate(covered.positions[text].tolist())
                  if p == token and covered.mask[text, i]]  # fmt: skip
            if not at:
                continue
            linked = []
            for link in range(start, start + count):
                place = divmod(int(links.teacher_rows[link]), links.teacher_seq)
                if place in facts:
                    linked.append((float(links.weight[link]), facts[place]))
            total = sum(weight for weight, _ in linked)
            assert bool(seen.token_mask[row, text, at[0]]) == (total > 0)
            for index, field in enumerate(fields):
                expected = sum(w * value[index] for w, value in linked) / total if total else 0.0
                value = float(getattr(seen, f"token_{field}")[row, text, at[0]])
                assert value == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_padding_changes_no_competence(distiller: Make) -> None:
    import torch

    module = distiller("fusion=select").eval()
    (plain, _), (padded, _) = (
        measure(module, make_batch(lengths=(9, 6), more=more, pad=more)) for more in (0, 4)
    )
    for field in ("ce", "entropy", "token_ce", "token_max_log_prob", "answer_tokens"):
        torch.testing.assert_close(getattr(plain, field), getattr(padded, field))


@pytest.mark.parametrize("fusion", ["competence", "select"])
@pytest.mark.parametrize("measure_name", ["ce", "max_prob"])
def test_a_step_is_weighed_by_it(distiller: Make, fusion: str, measure_name: str) -> None:
    module = distiller(f"fusion={fusion}", f"fusion.competence={measure_name}")
    terms = module(make_batch(lengths=(9, 6)))
    weights = terms.kv.weights.mean(dim=(0, 2))
    assert float(weights.sum()) == pytest.approx(1, abs=1e-5)
    terms.kv.kv.backward()
    assert module.student.model.layers[0].self_attn.k_proj.weight.grad.abs().sum() > 0


@pytest.mark.integration
def test_a_teacher_of_no_answer_reaches_no_weight_of_nan(distiller: Make) -> None:
    batch = make_batch(lengths=(9, 6))
    batch.student.answer[1] = False
    for inputs in batch.teachers.values():
        inputs.tokens.answer[1] = False
    for fusion in ("competence", "select"):
        terms = distiller(f"fusion={fusion}")(batch)
        assert terms.kv.kv.isfinite()
        assert terms.kv.weights[:, :, 1].isfinite().all()


@pytest.mark.integration
def test_a_tasks_score_is_the_nats_of_its_answers_over_the_students_tokens(distiller: Make) -> None:
    from dataclasses import replace

    from kvdistill.train.answers.task_scores import score_tasks

    module = distiller("fusion=by_task")
    batches = [
        replace(make_batch(lengths=(9, 6), seed=seed), tasks=tasks)
        for seed, tasks in ((1, ["sums", "words"]), (2, ["words", "words"]))
    ]
    score_tasks(module.objective.fusion, module.read_teachers, batches, "cpu")
    for row, name in enumerate(("a", "b")):
        for task in ("sums", "words"):
            nats = tokens = 0.0
            for batch in batches:
                facts = score_by_hand(name, batch.teachers[name].tokens)
                for text, of in enumerate(batch.tasks):
                    if of == task:
                        nats += sum(value[0] for (at, _), value in facts.items() if at == text)
                        tokens += int(batch.student.label_mask[text].sum())
            score = module.objective.fusion.scores[task][row]
            assert score == pytest.approx(-nats / tokens, rel=1e-4)


@pytest.mark.integration
def test_a_run_scores_its_teachers_before_its_first_step(trained: Make) -> None:
    run = trained("fusion=by_task", evaluate=4)
    assert list(run.module.objective.fusion.scores) == ["t"]
    table = run.routing.to_table()["t"]
    scores = run.module.objective.fusion.scores["t"]
    better = "a" if scores[0] > scores[1] else "b"
    assert all(weight >= 0.5 for weight in table[better].values())


@pytest.mark.integration
def test_a_task_without_validation_texts_is_refused_before_training(distiller: Make) -> None:
    from kvdistill.train.answers.task_scores import check_tasks

    fusion = distiller("fusion=by_task").objective.fusion
    check_tasks(fusion, ["sums"], ["words", "sums"])
    with pytest.raises(UserError, match=r"sums has no text among the 2 of train\.eval_texts"):
        check_tasks(fusion, ["sums", "words"], ["words", "words"])
    check_tasks(distiller("fusion=fixed").objective.fusion, ["sums"], ["words"])
