"""Studies drawn from worlds in which the truth is known, in memory and as a report reads them.

The model of an answer is that of `kvdistill.stats.selftest` (latent normal: level of the task,
difficulty of the item, how an arm takes to the item, shift of the run, noise), with what its normal
world leaves out: heavy tails over seeds, an arm that scatters more, subjects whose items an arm
takes to alike, and a shift that all arms of one seed share.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy import special

from kvdistill.stats.selftest import DIFFICULTY_SD, PREFERENCE_SD, Simulation
from kvdistill.stats.study import Arm, ItemSet, QuestionRecords, Run, Scores, Study
from tests.stats.fake import TASKS

SUBJECT_SD = 0.3
"""Of PREFERENCE_SD, what the items of one subject share."""
LATENT_SD = float(np.sqrt(1 + DIFFICULTY_SD**2 + PREFERENCE_SD**2))
NORMAL, T3, OUTLIERS = "normal", "t with 3 df", "one seed in ten thrice as far"
BASELINE, TESTED = "baseline", "arm 1"


@dataclass(frozen=True, kw_only=True)
class World:
    """How runs of an arm scatter."""

    name: str
    seed_sd: float = 0.0
    """Points of macro average: of one arm over seeds, beyond item noise."""
    tails: str = NORMAL
    ratio: float = 1.0
    """SD over seeds of the tested arm by that of the others."""
    subjects: int = 0
    """Subjects a task, whose items an arm takes to alike; 0: items do so each by itself."""
    common: float = 0.0
    """Points: SD of the shift that all arms of one seed share."""


WORLDS = (
    World(name="seed SD 0"),
    World(name="seed SD 0.6", seed_sd=0.6),
    World(name="seed SD 2", seed_sd=2.0),
    World(name="heavy tails, SD 2", seed_sd=2.0, tails=T3),
    World(name="outliers, SD 2", seed_sd=2.0, tails=OUTLIERS),
    World(name="variance x9, SD 0.67 to 2", seed_sd=2 / 3, ratio=3.0),
    World(name="variance x9, SD 2 to 6", seed_sd=2.0, ratio=3.0),
    World(name="10 subjects a task, SD 0.6", seed_sd=0.6, subjects=10),
    World(name="common shift 2, SD 0.6", seed_sd=0.6, common=2.0),
)


@dataclass(frozen=True)
class Drawn:
    """A study, and what is true of its tested arm against the baseline, in shares."""

    study: Study
    recipe: float
    """Mean difference over new seeds and new items."""
    checkpoints: float
    """Of these very runs over new items."""
    level: float
    """The tested arm's own score over new seeds and items."""


def draw_study(
    world: World, rng: np.random.Generator, *, seeds: int, effect: float = 0.0, arms: int = 2
) -> Drawn:
    """One question with a baseline and `arms` - 1 others, of which the first is the tested one.

    Args:
        world: how runs scatter.
        rng: draws everything.
        seeds: of each arm, in common.
        effect: points by which the tested arm is better, about; the truth is in what returns.
        arms: all of them.
    """
    base = _simulate(seeds)
    tasks = np.repeat(np.arange(len(TASKS)), list(TASKS.values()))
    gains = np.zeros(arms)
    gains[1] = effect / 100 / base.score_slope
    shifts = draw_shifts(world, rng, arms, seeds) / 100 / base.score_slope
    likes = PREFERENCE_SD * rng.standard_normal((arms, len(tasks)))
    if world.subjects:
        own = np.sqrt(PREFERENCE_SD**2 - SUBJECT_SD**2)
        codes = number_subjects(world.subjects)
        shared = SUBJECT_SD * rng.standard_normal((arms, codes.max() + 1))
        likes = own / PREFERENCE_SD * likes + shared[:, codes]
    hard = base.levels[tasks] + DIFFICULTY_SD * rng.standard_normal(len(tasks))
    latent = (hard + gains[:, None] + likes)[:, None, :] + shifts[:, :, None]
    correct = (latent + rng.standard_normal(latent.shape) > 0).astype(np.float32)
    expected = special.ndtr((base.levels + (gains[:, None] + shifts)[..., None]) / LATENT_SD)
    by_run = expected.mean(axis=2)
    levels = [
        float(special.ndtr((base.levels + gain + grid[:, None]) / LATENT_SD).mean())
        for gain, grid in (
            (gains[1], shift_grid(world, world.ratio)), (gains[0], shift_grid(world, 1.0))
        )
    ]  # fmt: skip
    return Drawn(
        study=make_study(correct, world.subjects),
        recipe=levels[0] - levels[1],
        checkpoints=float(by_run[1].mean() - by_run[0].mean()),
        level=levels[0],
    )


def draw_shifts(world: World, rng: np.random.Generator, arms: int, seeds: int) -> np.ndarray:
    """(arms, seeds) in points."""
    sds = np.full(arms, world.seed_sd)
    sds[1] *= world.ratio
    own = sds[:, None] * draw_tails(world.tails, rng, (arms, seeds))
    return own + world.common * rng.standard_normal(seeds)


def draw_tails(tails: str, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Of mean 0 and variance 1."""
    if tails == T3:
        return rng.standard_t(3, shape) / np.sqrt(3)
    normal = rng.standard_normal(shape)
    if tails == OUTLIERS:
        return normal * np.where(rng.random(shape) < 0.1, 3.0, 1.0) / np.sqrt(1.8)
    return normal


@cache
def shift_grid(world: World, ratio: float) -> np.ndarray:
    """Latent shifts of a run that stand for its distribution: what truths are averaged over."""
    rng = np.random.default_rng(0)
    own = world.seed_sd * ratio * draw_tails(world.tails, rng, (200_000,))
    points = own + world.common * rng.standard_normal(len(own))
    # Mirrored: the distributions are symmetric, and their means then exactly 0.
    quantiles = np.quantile(np.concatenate([points, -points]), (np.arange(500) + 0.5) / 500)
    return quantiles / 100 / _simulate(3).score_slope


@cache
def _simulate(seeds: int) -> Simulation:
    return Simulation(sizes=tuple(TASKS.values()), seeds=seeds, seed_sd=0.0, effect=0.0)


@cache
def number_subjects(subjects: int) -> np.ndarray:
    """A code an item over all tasks, so many to a task."""
    return np.concatenate(
        [np.arange(n) % subjects + task * subjects for task, n in enumerate(TASKS.values())]
    )


@cache
def list_item_sets(subjects: int) -> tuple[ItemSet, ...]:
    """The items of each task: the same objects for every study."""
    sets = []
    for task, n in TASKS.items():
        ids = np.array([f"{task}-{i}" for i in range(n)])
        codes = np.arange(n) % subjects if subjects else None
        sets.append(
            ItemSet(task=task, digest=task, ids=ids, documents=ids, prompts=ids, subjects=codes)
        )
    return tuple(sets)


def make_study(correct: np.ndarray, subjects: int) -> Study:
    """A study of one question; `correct` is (arms, seeds, items) in the order of TASKS."""
    sets, ends = list_item_sets(subjects), np.cumsum(list(TASKS.values()))[:-1]
    totals = np.add.reduceat(correct, [0, *ends], axis=2, dtype=np.float64)
    scores = (totals / list(TASKS.values())).tolist()
    labels = [BASELINE, *(f"arm {i}" for i in range(1, len(correct)))]
    arms = {
        label: Arm(
            label=label,
            runs={
                seed: make_run(label, seed, np.split(row, ends), scores[place][seed], sets)
                for seed, row in enumerate(rows)
            },
        )
        for place, (label, rows) in enumerate(zip(labels, correct, strict=True))
    }
    question = QuestionRecords(name="aa", text="Is there a difference?", arms=arms)
    return Study(
        name="world",
        folders=[],
        tasks=list(TASKS),
        questions={"aa": question},
        runs={run.identity: run for arm in arms.values() for run in arm.runs.values()},
        references={},
    )


def make_run(
    label: str,
    seed: int,
    parts: Sequence[np.ndarray],
    scores: Sequence[float],
    sets: Sequence[ItemSet],
) -> Run:
    """A finished run of these answers, and of these scores of each task."""
    return Run(
        identity=f"{label}/{seed}",
        folder=Path(),
        arm=label,
        seed=seed,
        trained=True,
        recipe=label,
        scores={
            items.task: Scores(
                task=items.task, metric="exact_match", score=score, chance=0.0, n=len(part),
                unparsed=0.0, truncated=0.0, empty=0.0, correct=part, items=items,
            )
            for part, score, items in zip(parts, scores, sets, strict=True)
        },
    )  # fmt: skip
