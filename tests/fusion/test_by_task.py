"""A teacher's weight on a task is what it knows of the task's validation answers."""

import math

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.fusion.by_task import ByTask

SCORES = {"sums": [-1.0, -0.5, -2.0], "words": [-0.2, -0.4, -0.1]}


def test_each_text_has_the_softmax_of_its_tasks_scores_over_the_valid_teachers(build, scene):
    own, targets = scene()
    fusion = build(ByTask, task_competence="ce", temperature=0.5)
    fusion.set_task_scores(SCORES)
    tasks = ["words", "sums"]
    _, weights = fusion(own, targets, 2, 0.0, tasks=tasks)
    for text, task in enumerate(tasks):
        for token in range(6):
            valid = [t for t in range(3) if bool((targets[t].mask & own.mask)[text, token])]
            shares = {t: math.exp(SCORES[task][t] / 0.5) for t in valid}
            for t in range(3):
                expected = shares.get(t, 0.0) / (sum(shares.values()) or 1)
                assert float(weights[t, text, token]) == pytest.approx(expected, abs=1e-6)


def test_it_reads_tasks_and_asks_for_nothing_else_in_a_step(build):
    fusion = build(ByTask, task_competence="ce", temperature=0.5)
    assert fusion.reads_tasks
    assert not fusion.reads_competence
    assert not list(fusion.parameters())


def test_equal_scores_are_equal_weights(build, scene):
    own, targets = scene(cover=1)
    fusion = build(ByTask, task_competence="ce", temperature=0.1)
    fusion.set_task_scores({"a": [-1.0] * 3})
    _, weights = fusion(own, targets, 0, 0.0, tasks=["a", "a"])
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / 3))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"task_competence": "luck", "temperature": 1.0},
            r"fusion\.task_competence=luck must be one of",
        ),
        ({"task_competence": "ce", "temperature": -1.0}, r"fusion\.temperature must be above 0"),
    ],
)
def test_what_cannot_be_is_refused(build, fields, message):
    with pytest.raises(ConfigError, match=message):
        build(ByTask, **fields)
