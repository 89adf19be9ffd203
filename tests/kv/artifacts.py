"""Small real artefacts: a split, two nano teachers with two tokenizers, and what is built of them.

Built by the jobs that launch.py starts, in this process.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TINY = [
    "data.source.rows=12",
    "train.calibration_rows=8",
    "teachers.a.build.training.steps=1",
    "teachers.b.build.training.steps=1",
    "budget.seq_len=32",
    "budget.max_unanswered=1.0",  # cuts some texts
]
KINDS = ("split", "conversion", "model", "calibration", "kv")


def build_artifacts(
    root: Path, config: dict[str, Any], kinds: Sequence[str] = KINDS
) -> dict[str, Path]:
    """Role -> folder of what the run needs, built below root/artifacts if it is missing."""
    from kvdistill.files import is_complete
    from kvdistill.plan.frozen_recipe import write_recipe
    from kvdistill.plan.graph import list_artifacts

    folders = {}
    for role, node in list_artifacts(config):
        if node.kind not in kinds:
            continue
        folder = folders[role] = root / "artifacts" / node.name
        folder.mkdir(parents=True, exist_ok=True)
        if not is_complete(folder):
            write_recipe(node, folder)
            run_job(folder)
    return folders


def run_job(folder: Path) -> None:
    """A single process's job, whose errors are raised."""
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    # As jobs/preload.py does: saving a model would import it in a deeper place, where Python
    # 3.11 may lose a module's lock to a finaliser that imports too.
    import deepspeed  # noqa: F401

    from kvdistill.jobs import __main__ as job
    from kvdistill.jobs.rendezvous import Ranks
    from kvdistill.status import StatusWriter

    job.build_folder(folder, Ranks(), StatusWriter(folder), None)


class Artifacts:
    """Artefacts below one root, built where they are missing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.terms: dict[tuple[str, ...], Any] = {}
        """Part and overrides -> the terms of a batch, for tests that compare with the same ones."""

    def config(self, *overrides: str) -> dict[str, Any]:
        """Composed as launch.py does."""
        from kvdistill.config.compose import compose

        return compose([*TINY, *overrides])

    def folders(self, config: dict[str, Any], kinds: Sequence[str] = KINDS) -> dict[str, Path]:
        """Role -> folder of what the run needs, built if it is missing."""
        return build_artifacts(self.root, config, kinds)

    def batches(
        self, config: dict[str, Any], part: str, rows: Sequence[Sequence[int]]
    ) -> list[Any]:
        """Batches of a part of the split, as a run reads them."""
        from kvdistill.config.build import build_node
        from kvdistill.train import inputs

        needs = self.folders(config)
        alignment = build_node("alignment", config["alignment"])
        texts, collate = inputs.read_texts(config, needs, part, alignment)
        return [collate([texts[row] for row in some]) for some in rows]

    def distiller(self, config: dict[str, Any]) -> Any:
        """The calibrated module of a run."""
        from kvdistill.config.build import build_node
        from kvdistill.train.run import build_distiller

        return build_distiller(
            config, self.folders(config), build_node("adapter", config["adapter"])
        )[0]
