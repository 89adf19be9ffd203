"""Teachers that predict the answer better count more, by token or by text."""

import math

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.fusion.competence_weighted import CompetenceWeighted
from kvdistill.fusion.measures import score_texts
from kvdistill.fusion.select_teacher import SelectTeacher
from kvdistill.fusion.staged import Staged

FIELDS = {"competence": "ce", "per": "token", "temperature": 1.0}
TEXTS = [[(1.0, 4), (0.5, 3)], [(2.0, 4), (3.0, 3)], [(0.5, 4), (1.0, 3)]]


def softmax(scores):
    total = sum(math.exp(score) for score in scores)
    return [math.exp(score) / total for score in scores]


@pytest.mark.parametrize(("measure", "factor"), [("ce", -1), ("entropy", -2), ("max_prob", -3)])
@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_weights_are_the_softmax_of_each_token_over_the_valid_teachers(
    build, scene, competence, measure, factor, temperature
):
    own, targets = scene()
    tokens = torch.rand(3, 2, 6, generator=torch.Generator().manual_seed(1))
    tokens[0, 0, 2] = tokens[:, 1, 3] = torch.nan  # of which one says nothing, and all
    seen = competence(TEXTS, tokens=tokens)
    fusion = build(
        CompetenceWeighted, **FIELDS | {"competence": measure, "temperature": temperature}
    )
    _, weights = fusion(own, targets, 0, 0.0, seen)
    for text in range(2):
        for token in range(6):
            valid = [t for t in range(3) if bool((targets[t].mask & own.mask)[text, token])]
            scores = []
            for teacher in valid:
                value = float(tokens[teacher, text, token])
                # A teacher that says nothing of a token is asked about its text.
                value = TEXTS[teacher][text][0] if math.isnan(value) else value
                scores.append(factor * value / temperature)
            expected = dict(zip(valid, softmax(scores), strict=True))
            for teacher in range(3):
                at = float(weights[teacher, text, token])
                assert at == pytest.approx(expected.get(teacher, 0.0), abs=1e-6)


def test_by_text_every_token_has_the_answers_weights(build, scene, competence):
    own, targets = scene(cover=1)
    fusion = build(CompetenceWeighted, **FIELDS | {"per": "text"})
    _, weights = fusion(own, targets, 0, 0.0, competence(TEXTS))
    for text in range(2):
        expected = softmax([-TEXTS[teacher][text][0] for teacher in range(3)])
        for token in range(6):
            assert weights[:, text, token].tolist() == pytest.approx(expected)


def test_an_answer_counts_as_a_whole_whatever_tokens_it_is_cut_into(competence):
    # The same 6 nats in 3, 6 and 4 tokens.
    seen = competence([[(2.0, 3)], [(1.0, 6)], [(1.5, 4)]])
    scores = score_texts(seen, "ce")
    torch.testing.assert_close(scores, scores[:1].expand(3, 1))
    equal = score_texts(competence([[(2.0, 4)], [(1.0, 4)]]), "ce")
    assert equal.flatten().tolist() == [-2.0, -1.0]


def test_a_teacher_that_says_nothing_of_a_text_counts_as_the_mean_of_the_others(competence):
    scores = score_texts(competence([[(1.0, 4), (0.0, 0)], [(0.0, 0), (0.0, 0)],
                                     [(3.0, 4), (0.0, 0)]]), "ce")  # fmt: skip
    assert scores[:, 0].tolist() == [-1.0, -2.0, -3.0]
    assert scores[:, 1].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("per", ["token", "text"])
def test_teachers_of_equal_competence_count_alike(build, scene, competence, per):
    own, targets = scene(cover=1)
    seen = competence([[(1.0, 4), (2.0, 4)]] * 3, tokens=torch.full((3, 2, 6), 0.7))
    _, weights = build(CompetenceWeighted, **FIELDS | {"per": per})(own, targets, 0, 0.0, seen)
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / 3))


def test_a_temperature_towards_0_selects_the_best(build, scene, competence):
    own, targets = scene(cover=1)
    cold = build(CompetenceWeighted, **FIELDS | {"per": "text", "temperature": 1e-4})
    select = build(SelectTeacher, competence="ce")
    weights = [each(own, targets, 0, 0.0, competence(TEXTS))[1] for each in (cold, select)]
    torch.testing.assert_close(*weights)


def test_select_gives_each_text_to_its_best_teacher_and_masks_what_that_one_lacks(
    build, scene, competence
):
    own, targets = scene()
    fused, weights = build(SelectTeacher, competence="ce")(own, targets, 0, 0.0, competence(TEXTS))
    for text, best in enumerate((2, 0)):
        valid = own.mask[text] & targets[best].mask[text]
        assert torch.equal(weights[best, text], valid.float())
        assert torch.equal(fused.mask[text], valid)
        at = fused.mask[text]
        assert torch.equal(fused.keys[text][:, at], targets[best].keys[text][:, at])
    assert weights.sum(dim=0).max() == 1


def test_select_takes_the_first_of_equals_and_none_that_says_nothing(build, scene, competence):
    own, targets = scene(cover=1)
    fusion = build(SelectTeacher, competence="ce")
    texts = [[(0.0, 0), (0.0, 0)], [(1.0, 4), (0.0, 0)], [(1.0, 4), (0.0, 0)]]
    _, weights = fusion(own, targets, 0, 0.0, competence(texts))
    assert weights[:, 0, 0].tolist() == [0, 1, 0]
    torch.testing.assert_close(weights[:, 1, 0], torch.full((3,), 1 / 3))


def test_stages_hand_on_what_their_fusions_read(build, scene, competence):
    own, targets = scene()

    def stage(**given):
        return CompetenceWeighted(**given, **FIELDS)

    staged = build(Staged, stages={"only": stage}, shares={"only": 1.0})
    assert staged.reads_competence
    assert not staged.reads_tasks
    seen = competence(TEXTS, tokens=torch.rand(3, 2, 6))
    plain = build(CompetenceWeighted, **FIELDS)(own, targets, 2, 0.0, seen)[1]
    assert torch.equal(staged(own, targets, 2, 0.0, seen)[1], plain)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"competence": "luck"}, r"fusion\.competence=luck must be one of: ce, entropy, max_prob"),
        ({"per": "layer"}, r"fusion\.per=layer must be one of: token, text"),
        ({"temperature": 0.0}, r"fusion\.temperature must be above 0, got 0\.0"),
    ],
)
def test_what_cannot_be_is_refused(build, fields, message):
    with pytest.raises(ConfigError, match=message):
        build(CompetenceWeighted, **FIELDS | fields)
