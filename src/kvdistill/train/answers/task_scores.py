"""Each teacher's score on each task's validation answers, for a fusion that weighs by task."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch

from kvdistill.errors import UserError
from kvdistill.fusion.base import Fusion
from kvdistill.fusion.measures import sum_texts
from kvdistill.kv.base import TeacherReading
from kvdistill.plan.teaching.signals import TASK_COMPETENCE
from kvdistill.train.answers.competence import measure_competence
from kvdistill.train.covered_tokens import CoveredTokens
from kvdistill.types import Batch


@torch.no_grad()
def score_tasks(
    fusion: Fusion,
    read_teachers: Callable[[Batch], Mapping[str, TeacherReading]],
    batches: Iterable[Batch],
    device: torch.device | str,
) -> None:
    """Hands the scores to a fusion that weighs by task; does nothing for another one.

    Every rank must call this, reads all batches and has the same scores.
    """
    if not fusion.reads_tasks:
        return
    measure = find_measure(fusion)
    sums: dict[str, torch.Tensor] = {}
    tokens: dict[str, int] = defaultdict(int)
    for batch in batches:
        moved = batch.to(device)
        covered = CoveredTokens.from_links([each.links for each in moved.teachers.values()])
        competence = measure_competence(read_teachers(moved), moved, covered)
        texts = sum_texts(competence, measure).double().cpu()
        counts = moved.student.label_mask.sum(dim=1).tolist()
        for index, (task, count) in enumerate(zip(batch.tasks, counts, strict=True)):
            sums[task] = sums.get(task, torch.zeros(())) + texts[:, index]
            tokens[task] += count
    # By the student's tokens: one number for all teachers, whatever tokens are their own.
    fusion.set_task_scores(
        {task: (total / max(tokens[task], 1)).tolist() for task, total in sums.items()}
    )


def find_measure(fusion: Fusion) -> str:
    """The measure of a fusion that weighs by task, or of its first stage that does."""
    return next(
        str(getattr(part, TASK_COMPETENCE))
        for part in fusion.modules()
        if hasattr(part, TASK_COMPETENCE)
    )


def check_tasks(fusion: Fusion, trained: Sequence[str], validated: Sequence[str]) -> None:
    """Raises UserError for a task that is trained and has no validation text to be scored on."""
    missing = sorted({*trained} - {*validated})
    if fusion.reads_tasks and missing:
        raise UserError(
            f"fusion weighs teachers by task, but {missing[0]} has no text among the "
            f"{len(validated)} of train.eval_texts. Raise it, or use fusion=competence."
        )
