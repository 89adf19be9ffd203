"""What attacks are made with: commands in this process, runs that only seem trained, and pages."""

import html
import io
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from kvdistill import layout, manifest
from kvdistill.cli import common
from kvdistill.cli.main import execute_stage
from kvdistill.errors import UserError
from kvdistill.plan.code.fingerprint import fingerprint_node
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.graph import Node
from kvdistill.report.build import build_report
from kvdistill.stats import preregistration
from tests.stats import fake

HOME = Path(__file__).parents[3]
Levels = Callable[[Mapping[str, Any]], float]
"""A run's config -> its latent level in `fake.draw_answers`, where 0.03 is about a point."""


@dataclass(frozen=True)
class CommandResult:
    """How a command ended."""

    output: str
    """What it printed, on both streams, on lines of 200 characters."""
    error: str
    """The one line of its refusal; empty where it was not refused."""

    @property
    def text(self) -> str:
        """All that the user reads of it."""
        return f"{self.output}\n{self.error}"


def execute_command(
    folder: Path, *overrides: str, sweeps: Path = HOME / "sweeps", home: Path = HOME
) -> CommandResult:
    """`python launch.py OVERRIDES root=FOLDER` in this process, without what Hydra's -m adds.

    Nothing is trained unless the command trains: use `pretend_run` for stage=run.

    Raises whatever is no UserError: a traceback is no refusal.
    """
    return execute_lists(folder, [list(overrides)], sweeps=sweeps, home=home)


def execute_lists(
    folder: Path,
    job_overrides: Sequence[Sequence[str]],
    *,
    sweeps: Path = HOME / "sweeps",
    home: Path = HOME,
) -> CommandResult:
    """The same for the override lists that -m makes of a command."""
    stream, error = io.StringIO(), ""
    GlobalHydra.instance().clear()
    lists = [[*items, f"root={folder}"] for items in job_overrides]
    with (
        initialize_config_dir(str(home / "conf"), version_base="1.3"),
        redirect_stdout(stream),
        redirect_stderr(stream),
        mock.patch.object(common.console, "_width", 200),
    ):
        try:
            execute_stage(lists, sweeps)
        except UserError as caught:
            error = " ".join(str(caught).split())
    return CommandResult(stream.getvalue(), error)


def pretend_run(
    folder: Path,
    *overrides: str,
    level: Levels | float = 0.0,
    facts: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
    tasks: Mapping[str, int] = fake.TASKS,
    sweeps: Path = HOME / "sweeps",
    home: Path = HOME,
) -> CommandResult:
    """stage=run with everything real but the jobs: they write records of a made-up student.

    Planned, frozen, registered, labelled, reported as always. An item has a difficulty, a run its
    `level` and a seed's shift of 0.03.

    Args:
        folder: the root.
        overrides: the command.
        level: of a run, by its config.
        facts: more fields of a run's manifest, by its config; a `ledger` is merged into the usual.
        tasks: name -> number of items.
        sweeps: the folder of sweep files.
        home: holds conf/.
    """

    def write_records(
        _: object, nodes: Sequence[Node], folders: Mapping[str, Path], *__: Any, **___: Any
    ) -> dict[str, str]:
        for node in nodes:
            if node.kind == "run" and not (folders[node.name] / layout.MANIFEST).exists():
                config = read_recipe(folders[node.name]).recipe
                value = level(config) if callable(level) else level
                more = dict(facts(config)) if facts else {}
                write_pretended(folders[node.name], node, value, more, tasks)
        return {}

    with (
        mock.patch("kvdistill.cli.run.check_arms", return_value=None),
        mock.patch("kvdistill.cli.run.submit", write_records),
    ):
        return execute_command(folder, *overrides, sweeps=sweeps, home=home)


def write_pretended(
    folder: Path, node: Node, level: float, facts: dict[str, Any], tasks: Mapping[str, int]
) -> None:
    """The records and the sealed manifest of a run that was never trained."""
    config = node.recipe
    recipe_file = (folder / layout.CONFIG).read_text(encoding="utf-8")
    rng = np.random.default_rng([int(config["seed"]), zlib.crc32(node.name.encode())])
    correct = fake.draw_answers(
        rng, level, tasks=tasks, difficulty=fake.draw_difficulties(tasks), seed_sd=0.03
    )
    trained = bool(config["trained"])
    fake.write_run(folder, correct, trained=trained, rng=rng)
    (folder / layout.MANIFEST).unlink()
    (folder / layout.CONFIG).write_text(recipe_file, encoding="utf-8")
    steps = 40
    ledger = {
        "steps": steps, "sequences": 640, "planned_tokens": 9600, "real_tokens": 9000,
        "epochs": 1.0, "student_flops": 10**9, "teacher_flops": 0, "stored_bytes": 0,
        "train_s": 1.0, "texts": "0" * 64,
    }  # fmt: skip
    made = {"arm": config["arm"], "seed": config["seed"], "ledger": ledger if trained else {}}
    made["ledger"] = {**made["ledger"], **facts.pop("ledger", {})}
    # As the job that makes a run; artefacts are not pretended.
    made["code"] = fingerprint_node(node).to_json()
    made |= facts | preregistration.read_registration(folder)
    manifest.write_manifest(folder, node.kind, node.needs, made)


def read_page(index: Path) -> str:
    """The text of a report's page as a reader sees it: no markup, no figures, no scripts."""
    text = index.read_text(encoding="utf-8")
    text = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def report_study(study: Path, settings: Mapping[str, Any] | None = None) -> str:
    """Builds the report of a study's folder; the page as text. Raises what the report raises."""
    return read_page(build_report([study], study / layout.REPORT, settings))


def report_root(folder: Path, study: str = "nano") -> str:
    """The page that a command wrote for a study of the root, as text."""
    return read_page(layout.study_folder(folder, study) / layout.REPORT / "index.html")
