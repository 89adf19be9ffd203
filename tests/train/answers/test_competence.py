"""What a fusion is told of how well its teachers predict the answers, against literal loops."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.train.answers.test_logit_terms import read_alike
from tests.train.conftest import make_teacher

Make = Callable[..., Any]


def read_competence(module: Any, batch: Any) -> tuple[Any, Any]:
    """(the competence, the student tokens that it lies on)."""
    import torch

    from kvdistill.train.answers.competence import measure_competence
    from kvdistill.train.covered_tokens import CoveredTokens

    covered = CoveredTokens.from_links([each.links for each in batch.teachers.values()])
    with torch.no_grad():
        return measure_competence(module.read_teachers(batch), batch, covered), covered


def test_it_is_the_literal_loop_over_each_teachers_own_tokens(distiller: Make) -> None:
    import torch

    batch = read_alike(more=2)
    competence, covered = read_competence(distiller("logits=forward_kl"), batch)
    tokens = batch.student
    for number, name in enumerate("ab"):
        inputs = {"input_ids": tokens.ids, "attention_mask": tokens.mask.long()}
        logits = make_teacher(name).eval()(**inputs).logits.detach()
        for text in range(len(tokens.ids)):
            sums = []
            for at, place in enumerate(covered.positions[text].tolist()):
                is_answer = bool(covered.mask[text, at] and tokens.label_mask[text, place])
                assert bool(competence.token_mask[number, text, at]) == is_answer
                if not is_answer:
                    continue
                # What predicted the token stands one before it.
                log_p = torch.log_softmax(logits[text, place - 1].float(), dim=0)
                facts = (
                    float(-log_p[tokens.ids[text, place]]),
                    float(-(log_p.exp() * log_p).sum()),
                    float(log_p.max()),
                )
                sums.append(facts)
                mine = [
                    float(each[number, text, at])
                    for each in (
                        competence.token_ce,
                        competence.token_entropy,
                        competence.token_max_log_prob,
                    )
                ]
                assert mine == pytest.approx(facts, rel=1e-4, abs=1e-5)
            means = [sum(column) / len(sums) for column in zip(*sums, strict=True)]
            by_text = (competence.ce, competence.entropy, competence.max_log_prob)
            assert [float(each[number, text]) for each in by_text] == pytest.approx(means, rel=1e-4)


def test_a_text_without_an_answer_says_nothing(distiller: Make) -> None:
    import torch

    batch = read_alike(("a",))
    tokens = replace(batch.student, answer=torch.zeros_like(batch.student.answer))
    reading = replace(batch.teachers["a"], tokens=tokens)
    silent = replace(batch, student=tokens, teachers={"a": reading})
    competence, _ = read_competence(distiller("logits=forward_kl", teachers=("a",)), silent)
    assert not competence.token_mask.any()
    assert not competence.ce.any()


def test_a_fusion_that_reads_it_is_given_it_in_every_layer(distiller: Make) -> None:
    import torch

    module = distiller("logits=forward_kl")
    fusion, seen = module.objective.fusion, []

    def compute_logits(own: Any, targets: Any, layer: int, progress: float, competence: Any) -> Any:
        seen.append(competence)
        return -competence.ce[:, :, None].expand(-1, *own.mask.shape)

    fusion.reads_competence, fusion.compute_logits = True, compute_logits
    terms = module(read_alike()).kv
    assert len(seen) == len(module.objective.layers)
    assert all(each is seen[0] for each in seen)
    # The better reader of a text has the larger weight there.
    mean = terms.weights.mean(dim=0)
    assert torch.equal(mean.argmax(dim=0), seen[0].ce.argmin(dim=0))
