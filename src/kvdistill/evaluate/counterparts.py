"""lm-eval's own tasks of a suite's benchmarks, asked of a model that is scored as it is.

They say how far a score here is from what lm-eval reports for the same model on the same rows: a
reader's bridge to published numbers. They enter no average and no comparison of arms.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvdistill.errors import UserError
from kvdistill.evaluate import builtin
from kvdistill.evaluate.cached_lm import Progress
from kvdistill.evaluate.harness import evaluate
from kvdistill.evaluate.suite import Suite
from kvdistill.plan.task_files import BUILTIN, read_task_metadata


def score_counterparts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    suite: Suite,
    progress: Progress | None = None,
    cache: Path | None = None,
) -> dict[str, dict[str, Any]]:
    """Task of the suite's average -> what lm-eval's own task of its benchmark gives.

    `task`, `shots`, and either `score` (its first metric under its first filter), `alternative`
    (under its second), `n`, `unparsed`, `truncated` and `marked`, or `missing`: why there is none.
    """
    facts = {}
    for name in suite.tasks:
        counterpart = (read_task_metadata(name) or {}).get("counterpart")
        if counterpart is not None:
            entry = BUILTIN + counterpart
            facts[name] = {"task": counterpart} | score_counterpart(
                model, tokenizer, make_counterpart_suite(suite, name, entry), progress, cache
            )
    return facts


def make_counterpart_suite(suite: Suite, name: str, entry: str) -> Suite:
    """A suite of lm-eval's task alone, on the rows that ours is scored on.

    It shows the examples that its own file says; where that leaves it to the user, as many as ours.
    """
    own_shots, ours = builtin.read_own_shots(entry), suite.count_shots(name)
    shots = {entry: ours} if own_shots is None and builtin.has_pool(entry) else {}
    return replace(
        suite, tasks=[entry], beside=[], limit=suite.get_item_limit(name), shots=shots,
        max_gen_toks=None, versions={},
    )  # fmt: skip


def score_counterpart(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    suite: Suite,
    progress: Progress | None,
    cache: Path | None,
) -> dict[str, Any]:
    """The score of the suite's one task, or why it has none: that costs no run its own scores."""
    (entry,) = suite.tasks
    shots = suite.shots.get(entry, builtin.read_own_shots(entry) or 0)
    try:
        scored = evaluate(model, tokenizer, suite, {}, progress, cache, divide=True)
        score = scored.tasks[entry]
    except UserError as error:
        return {"shots": shots, "missing": str(error)}
    kept = ("metric", "score", "alternative", "n", "unparsed", "truncated", "marked")
    return {"shots": shots} | {key: getattr(score, key) for key in kept}
