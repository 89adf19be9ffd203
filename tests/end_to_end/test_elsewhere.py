"""What a report says of how it was made, typed in another checkout: the same study.

By another user, in another folder, time zone, language and order of hashes. Every file that the
first study left must be in the second and say the same, but for what is named here.
"""

import csv
import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kvdistill.files import sha256
from tests.launch_server import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.integration]

ASKED = [
    "-m", "fusion=fixed,learnable", "seed=0", "references=false",
    "data.source.rows=40", "data.split.salt='$HOME is a draw; `of` \"two\" words'",
    "budget.total_tokens=2048", "budget.batch_size=16", "train.calibration_rows=8",
    "train.eval_steps=2", "train.save_steps=2", "tasks=quick", "tasks.limit=2",
    "teachers.a.build.training=null", "teachers.b.build.training=null", "stats.confidence=0.9",
]  # fmt: skip
"""Two arms of two steps; a value that a shell would take apart; another interval."""
MEASURED = {
    "wall_s", "train_s", "elapsed_s", "converged_s", "evaluate_s", "peak_bytes",
    "tokens_per_second", "raw_tokens_per_second", "train_tokens_per_second", "seconds",
    "speed",
}  # fmt: skip
"""Times and memory, by their names in every record and every table."""
PROVENANCE = {"git_commit", "git_dirty", "event", "untracked"}
"""Of which checkout the code was, and the line of the root's record, which holds when it was
written. Versions and machine are the same here."""
OF_MEASURED = {"validation_report.json", "curves.jsonl", "results.json"}
"""Files whose hash a manifest holds, and that hold what was measured."""
TOLD_APART = {"status.json", "log.txt"}
"""When a job last spoke, and what libraries printed meanwhile."""
ELSEWHERE = {
    "USER": "someone", "LOGNAME": "someone", "TZ": "Asia/Kolkata", "LANG": "C", "LC_ALL": "C",
    "PYTHONHASHSEED": "77", "COLUMNS": "61",
}  # fmt: skip


def type_command(command: str, checkout: Path, umask: int, **environment: str) -> None:
    """Types it there."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, shell=True, cwd=checkout, capture_output=True, text=True, check=False, umask=umask,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(checkout / "src"),
             "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def commands(root: Path) -> list[str]:
    """What the report's page tells to type."""
    page = (root / "runs/nano/report/index.html").read_text(encoding="utf-8")
    (section,) = re.findall(r'<section id="reproduce">.*?<pre>(.*?)</pre>', page, re.DOTALL)
    return html.unescape(section).splitlines()


def drop_measured(node: Any) -> Any:
    """A record without what was measured, and without which checkout the code was of."""
    if isinstance(node, Mapping):
        kept = {k: drop_measured(v) for k, v in node.items() if k not in MEASURED | PROVENANCE}
        if "files" in kept and "seal" in kept:  # a manifest
            kept["files"] = {k: v for k, v in kept["files"].items() if k not in OF_MEASURED}
            kept.pop("seal")
        return kept
    return [drop_measured(each) for each in node] if isinstance(node, list) else node


def drop_measured_columns(lines: list[list[str]]) -> list[list[str]]:
    """A table without the columns of what was measured; rows of other lengths as they are."""
    names: list[str] = []
    table = []
    for row in lines:
        plain = [re.sub("<.*?>", "", cell).strip().replace("\\_", "_") for cell in row]
        if MEASURED & set(plain):
            names = plain
        heads = names if len(row) == len(names) else plain
        table.append([c for c, name in zip(row, heads, strict=True) if name not in MEASURED])
    return table


def drop_measured_parts(text: str) -> str:
    """The page without those columns, and without the lines of provenance."""
    for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
        rows = [
            re.findall(r"<t[hd][ >].*?</t[hd]>", row, re.DOTALL)
            for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)
        ]
        if drop_measured_columns(rows) != rows:
            text = text.replace(table, json.dumps(drop_measured_columns(rows)))
    for name in PROVENANCE:
        text = re.sub(rf"<dt>{name}</dt><dd>.*?</dd>", "", text)
    return text


def content(path: Path) -> Any:
    """What a file says that must be the same."""
    name, text = path.name, lambda: path.read_text(encoding="utf-8")
    if path.suffix == ".json" and path.parent.name != "model":
        return drop_measured(json.loads(text()))
    if name == "curves.jsonl":
        return [drop_measured(json.loads(line)) for line in text().split("\n") if line]
    if name == "answers.jsonl":  # two runs wait for each other's answers, in whichever order
        return sorted(text().split("\n"))
    if name == "config.yaml":
        frozen = yaml.safe_load(text())
        frozen["recipe"].pop("root", None)
        del frozen["seal"]  # of the text, the root's path included
        return frozen
    if name == "index.html":
        return drop_measured_parts(text())
    if path.stem in ("budget", "efficiency", "fusion_views"):
        if path.suffix == ".csv":
            return drop_measured_columns(list(csv.reader(text().splitlines())))
        separator = {".md": "|", ".tex": "&"}[path.suffix]
        return drop_measured_columns(
            [line.removesuffix("\\\\").split(separator) for line in text().split("\n")]
        )
    return sha256(path)


def files(root: Path) -> Iterator[Path]:
    """Every file of a study, relative."""
    for part in ("runs", "artifacts"):
        paths = (path for path in sorted((root / part).rglob("*")) if path.is_file())
        yield from (path.relative_to(root) for path in paths)


@pytest.mark.timeout(600)
def test_elsewhere_the_reports_commands_make_the_same_study(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "another place/the checkout"
    for name in ("src", "conf", "sweeps"):
        shutil.copytree(ROOT / name, there / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "launch.py", there / "launch.py")
    (tmp_path / "home").mkdir()
    done = subprocess.run(
        [sys.executable, "launch.py", *ASKED, f"root={here}"],
        cwd=ROOT, capture_output=True, text=True, check=False, umask=0o022,
        env={**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1",
             "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    typed = commands(here)
    assert [line.split()[:3] for line in typed] == [
        ["python", "launch.py", "-m"], ["python", "launch.py", "stage=report"],
    ]  # fmt: skip
    for line in typed:
        type_command(line, there, 0o077, HOME=str(tmp_path / "home"), **ELSEWHERE)
    names = list(files(here))
    assert names == list(files(there))
    compared = [name for name in names if name.name not in TOLD_APART]
    assert [str(n) for n in compared if content(here / n) != content(there / n)] == []
    assert_that_it_compared(here, compared)


def assert_that_it_compared(root: Path, names: list[Path]) -> None:
    """A study of nothing would be the same anywhere."""
    kinds = [name.suffix for name in names]
    assert kinds.count(".safetensors") == 3 + 2 + 2  # models, calibrations, students
    assert kinds.count(".png") >= 10
    report = json.loads((root / "runs/nano/report/significance.json").read_text())
    assert report["questions"]["fusion"]["comparisons"]
    text = (root / "runs/nano/report/index.html").read_text(encoding="utf-8")
    assert drop_measured_parts(text) != text
    assert len(drop_measured_parts(text)) > 0.95 * len(text)
