"""What is published of a finished run, read from its folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.errors import ConfigError
from kvdistill.files import read_json
from kvdistill.manifest import verify_artifact
from kvdistill.plan.find_runs import check_kept_student
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.hub_models import walk_mappings
from kvdistill.plan.task_files import BUILTIN, read_task_metadata


@dataclass(frozen=True)
class PublishedRun:
    """A run that trained a student, every file of it as its manifest has it."""

    folder: Path
    recipe: Mapping[str, Any]
    results: Mapping[str, Any]
    manifest: Mapping[str, Any]
    ended: datetime
    """When its job had done all, in UTC."""

    @property
    def name(self) -> str:
        """Its student's name with the run's: two runs of one student are two models."""
        return f"{self.recipe['student']['name']}-{self.folder.name}"

    @property
    def suite(self) -> Mapping[str, Any]:
        """The node of what it was scored on."""
        node: Mapping[str, Any] = self.recipe["tasks"]
        return node

    @property
    def tasks(self) -> Mapping[str, Mapping[str, Any]]:
        """Task -> its score, in the order of the suite."""
        scores: Mapping[str, Mapping[str, Any]] = self.results["tasks"]
        return scores


@dataclass(frozen=True)
class TaskOrigin:
    """Where the items of a task come from, and how they were asked."""

    repository: str | None
    """On the hub; None for rows of the project's own, or of a task of lm-eval's."""
    config: str | None
    split: str
    revision: str | None
    version: str
    shots: int
    is_public_protocol: bool
    """Whether it is asked as a task of lm-eval's of the same benchmark."""


def read_published_run(folder: Path) -> PublishedRun:
    """Raises ConfigError where no student was trained, ArtifactError where a file has changed."""
    manifest = verify_artifact(folder)
    recipe = read_recipe(folder).recipe
    if not recipe["trained"]:
        raise ConfigError(
            f"publish.run={folder.name} has no student of its own: it was scored as it is. "
            "Name a run that trained."
        )
    check_kept_student(folder, "publish.run")
    status = read_json(folder / layout.STATUS)
    return PublishedRun(
        folder,
        recipe,
        read_json(folder / layout.RESULTS),
        manifest,
        datetime.fromtimestamp(int(status["heartbeat"]), timezone.utc),
    )


def locate_task(run: PublishedRun, task: str) -> TaskOrigin:
    """Of a task of the run's suite."""
    metadata = {} if task.startswith(BUILTIN) else read_task_metadata(task) or {}
    repository = metadata.get("repo")
    return TaskOrigin(
        repository=repository,
        config=metadata.get("config"),
        split=str(metadata.get("split", "test")),
        revision=(run.suite.get("revisions") or {}).get(repository),
        version=str(
            (run.suite.get("versions") or {}).get(task) or metadata.get("version", "unknown")
        ),
        shots=int((run.suite.get("shots") or {}).get(task, metadata.get("shots", 0))),
        is_public_protocol=metadata.get("counterpart") is not None,
    )


def list_hub_names(node: Any) -> list[str]:
    """The repositories of the hub that a node of a recipe names, at any depth."""
    names = (inner.get("hub") for inner in walk_mappings(node))
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))
