"""All comparisons of a study: each arm with its question's baseline, corrected within families."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kvdistill.stats.compare import UNEQUAL, Comparison, compare
from kvdistill.stats.multiple_testing import benjamini_hochberg, holm
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import MACRO, Arm, Question, Study
from kvdistill.stats.summary import Table, rows, table


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """One question, answered as far as its records go."""

    question: Question
    table: Table
    comparisons: Mapping[str, Comparison]
    """Arm -> its comparison with the baseline."""
    ties: Mapping[str, frozenset[str]]
    """Endpoint -> arms not distinguishable from the best."""

    @property
    def baseline(self) -> str:
        """The arm that the others are compared with."""
        return self.question.baseline


def analyse(study: Study, settings: Settings) -> dict[str, Analysis]:
    """Question -> its analysis."""
    return {name: answer(study, asked, settings) for name, asked in study.questions.items()}


def answer(study: Study, question: Question, settings: Settings) -> Analysis:
    """One question: Holm over its arms on the macro average, Benjamini-Hochberg over its cells."""
    baseline = question.arms[question.baseline]
    arms = [arm for label, arm in question.arms.items() if label != question.baseline]
    compared = [compare(arm, baseline, study.tasks, settings) for arm in arms]
    shown = table(study, question)
    return Analysis(
        question=question,
        table=shown,
        comparisons={one.arm: one for one in adjusted(compared, study.tasks)},
        ties=ties(question.arms, shown, study.tasks, settings),
    )


def matrix(study: Study, settings: Settings) -> tuple[Table, Mapping[str, frozenset[str]]]:
    """Every distinct arm of the study in one table, and what ties with the best of each column."""
    arms = study.arms()
    teachers = {
        f"teacher {name}": Arm(label=f"teacher {name}", runs={run.seed: run})
        for name, run in study.references.items()
    }
    shown = rows(study, "matrix", "Every arm of the study", arms, teachers)
    return shown, ties(arms, shown, study.tasks, settings)


def adjusted(compared: Sequence[Comparison], tasks: Sequence[str]) -> list[Comparison]:
    """The comparisons with p values corrected: the macro family by Holm, the cells by BH."""
    families = [([(i, MACRO) for i in range(len(compared))], holm)]
    families.append(([(i, t) for i in range(len(compared)) for t in tasks], benjamini_hochberg))
    found: list[dict[str, dict[str, float | None]]] = [{} for _ in compared]
    for cells, correct in families:
        for kind in ("seeds", "recipe"):
            raw = [p_value(compared[i], endpoint, kind) for i, endpoint in cells]
            for (i, endpoint), p in zip(cells, correct(raw), strict=True):
                found[i].setdefault(endpoint, {})[kind] = p
    return [
        replace(
            one,
            differences={
                endpoint: replace(difference, adjusted=found[i].get(endpoint, {}))
                for endpoint, difference in one.differences.items()
            },
        )
        for i, one in enumerate(compared)
    ]


def p_value(one: Comparison, endpoint: str, kind: str) -> float | None:
    """The p value of the paired t (`seeds`) or of the recipe's claim."""
    tested = getattr(one.differences[endpoint], kind)
    return tested.p if tested is not None else None


def ties(
    arms: Mapping[str, Arm], shown: Table, tasks: Sequence[str], settings: Settings
) -> dict[str, frozenset[str]]:
    """Endpoint -> arms whose difference from the best is not shown, Holm within the column."""
    found: dict[str, frozenset[str]] = {}
    for endpoint in (*tasks, MACRO):
        best = shown.best(endpoint)
        if best is None:
            continue
        others = [
            label
            for label, arm in arms.items()
            if label != best and shown.rows[label][endpoint].mean is not None and arm.runs
        ]
        compared = {
            label: compare(
                arms[best], arms[label], tasks, settings, endpoints=[endpoint], resample=False
            )
            for label in others
        }
        p_values = {
            label: p_value(one, endpoint, "recipe")
            for label, one in compared.items()
            if one.differences[endpoint].status != UNEQUAL
        }
        kept = zip(p_values, holm(list(p_values.values())), strict=True)
        found[endpoint] = frozenset(label for label, p in kept if p is None or p >= settings.alpha)
    return found
