"""All comparisons of a study: each arm with its question's baseline, corrected within families."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kvdistill.stats.audit.looks import adjust_for_look
from kvdistill.stats.compare import REFUSED, ArmComparison, compare_arms
from kvdistill.stats.multiple_testing import benjamini_hochberg, holm
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import MACRO, REFERENCE_DECLARES, Arm, QuestionRecords, Study
from kvdistill.stats.summary import Table, build_arm_table, build_table


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """One question, answered as far as its records go."""

    question: QuestionRecords
    table: Table
    comparisons: Mapping[str, ArmComparison]
    """Arm -> its comparison with the baseline."""
    ties: Mapping[str, frozenset[str]]
    """Endpoint -> arms not distinguishable from the best."""

    @property
    def baseline(self) -> str:
        """The arm that the others are compared with."""
        return self.question.baseline


def analyse_study(study: Study, settings: Settings) -> dict[str, Analysis]:
    """Question -> its analysis."""
    return {
        name: analyse_question(study, question, settings)
        for name, question in study.questions.items()
        if question.arms  # all withdrawn: there is nothing to compare
    }


def analyse_question(study: Study, question: QuestionRecords, settings: Settings) -> Analysis:
    """One question: Holm over its arms on the macro average, Benjamini-Hochberg over its cells."""
    settings = adjust_for_look(settings, study, question)
    baseline = question.arms[question.baseline]
    arms = [arm for label, arm in question.arms.items() if label != question.baseline]
    comparisons = [
        compare_arms(arm, baseline, study.tasks, settings, question=question) for arm in arms
    ]
    table = build_table(study, question)
    return Analysis(
        question=question,
        table=table,
        comparisons={one.arm: one for one in adjust_p_values(comparisons, study.tasks)},
        ties=find_ties(question.arms, table, study.tasks, settings, question),
    )


def build_arm_matrix(
    study: Study, settings: Settings
) -> tuple[Table, Mapping[str, frozenset[str]]]:
    """Every distinct arm of the study in one table, and what ties with the best of each column."""
    arms = study.distinct_arms()
    teachers = {
        f"teacher {name}": Arm(
            label=f"teacher {name}", runs={run.seed: run}, declared=REFERENCE_DECLARES
        )
        for name, run in study.references.items()
    }
    table = build_arm_table(study, "matrix", "Every arm of the study", arms, teachers)
    return table, find_ties(arms, table, study.tasks, settings)


def adjust_p_values(
    comparisons: Sequence[ArmComparison], tasks: Sequence[str]
) -> list[ArmComparison]:
    """The comparisons with p values corrected: the macro family by Holm, the cells by BH.

    `stars` by BH over all of them, the average among them: where nothing differs, a question shows
    a star somewhere as often as one star's level says.
    """
    families = [([(i, MACRO) for i in range(len(comparisons))], holm)]
    families.append(([(i, t) for i in range(len(comparisons)) for t in tasks], benjamini_hochberg))
    adjusted_by_comparison: list[dict[str, dict[str, float | None]]] = [{} for _ in comparisons]
    kinds = [(*family, kind) for family in families for kind in ("seeds", "recipe")]
    every = [(i, e) for i in range(len(comparisons)) for e in (*tasks, MACRO)]
    for cells, correct, kind in [*kinds, (every, benjamini_hochberg, "stars")]:
        raw = [get_p_value(comparisons[i], endpoint, kind) for i, endpoint in cells]
        for (i, endpoint), p in zip(cells, correct(raw), strict=True):
            adjusted_by_comparison[i].setdefault(endpoint, {})[kind] = p
    return [
        replace(
            one,
            differences={
                endpoint: replace(difference, adjusted=adjusted_by_comparison[i].get(endpoint, {}))
                for endpoint, difference in one.differences.items()
            },
        )
        for i, one in enumerate(comparisons)
    ]


def get_p_value(comparison: ArmComparison, endpoint: str, kind: str) -> float | None:
    """The p value of the paired t (`seeds`), or of the recipe's claim, which gives `stars` too."""
    inference = getattr(comparison.differences[endpoint], "recipe" if kind == "stars" else kind)
    return inference.p if inference is not None else None


def find_ties(
    arms: Mapping[str, Arm],
    table: Table,
    tasks: Sequence[str],
    settings: Settings,
    question: QuestionRecords | None = None,
) -> dict[str, frozenset[str]]:
    """Endpoint -> arms whose difference from the best is not shown, Holm within the column."""
    ties_by_endpoint: dict[str, frozenset[str]] = {}
    for endpoint in (*tasks, MACRO):
        best = table.best(endpoint)
        if best is None:
            continue
        others = [
            label
            for label, arm in arms.items()
            if label != best and table.rows[label][endpoint].mean is not None and arm.runs
        ]
        comparisons = {
            label: compare_arms(
                arms[best],
                arms[label],
                tasks,
                settings,
                endpoints=[endpoint],
                resample=False,
                question=question,
            )
            for label in others
        }
        p_values = {
            label: get_p_value(one, endpoint, "recipe")
            for label, one in comparisons.items()
            if one.differences[endpoint].status not in REFUSED
        }
        kept = zip(p_values, holm(list(p_values.values())), strict=True)
        ties_by_endpoint[endpoint] = frozenset(
            # A mark in every table: a lower confidence of the study's tells no more arms apart.
            label
            for label, p in kept
            if p is None or p >= min(settings.alpha, 0.05)
        )
    return ties_by_endpoint
