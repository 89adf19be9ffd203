"""Attacks by editing the code between runs, between jobs of one command, and outside of git."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from kvdistill import layout
from kvdistill.files import is_complete, read_sealed
from kvdistill.plan.code import reach
from tests.bench.attacks.outcome import Outcome, judge_text
from tests.bench.attacks.studies import HOME, pretend_run, report_root

STRATEGY = "fusion/fixed.py"
SOURCE = "data/sources/nano_english.py"
SLOWEST_S = 600.0


def attack_05_strategy_edited_and_repeated(folder: Path) -> Outcome:
    """The same command after an edit would show the scores of the code before it."""
    with use_own_code(folder) as package:
        pretend_run(folder / "root", "seed=42")
        edit_module(package, STRATEGY)
        repeated = pretend_run(folder / "root", "seed=42")
    if "made by other code: fusion.fixed" in repeated.error:
        return Outcome("refused", repeated.error[:150])
    return Outcome("passed", "done, with the scores of the code before the edit")


def attack_05_strategy_edited_between_seeds(folder: Path) -> Outcome:
    """One arm would be a mean over two versions of its strategy."""
    with use_own_code(folder) as package:
        pretend_run(folder / "root", "seed=42")
        edit_module(package, STRATEGY)
        later = pretend_run(folder / "root", "seed=43")
        if "made by other code: fusion.fixed" not in later.error:
            return Outcome("passed", "seeds 42 and 43 are one arm, of two codes")
        pretend_run(folder / "root", "seed=43", "code=accept")
    return judge_text(report_root(folder / "root"), "other versions of fusion.fixed count as one")


def attack_05_edit_hidden_by_rerun_of_one_seed(folder: Path) -> Outcome:
    """`code=rerun` of one seed would leave the others to the old code."""
    with use_own_code(folder) as package:
        pretend_run(folder / "root", "seed=42")
        pretend_run(folder / "root", "seed=43")
        edit_module(package, STRATEGY)
        part = pretend_run(folder / "root", "seed=43", "code=rerun")
        if "does not ask for these" not in part.error:
            return Outcome("passed", "seed 43 is of the new code, seed 42 of the old")
    return Outcome("refused", part.error[:150])


def attack_05_module_in_no_commit(folder: Path) -> Outcome:
    """A strategy that no commit holds would be signed `git_dirty false`."""
    package = copy_package(folder / "src")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all", "--no-gpg-sign"]):
        names = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True)
    script = "from kvdistill import manifest; print(manifest.read_code_origin())"
    before = run_python(folder, "-c", script)
    (package / "fusion/mine.py").write_text("A = 1\n", encoding="utf-8")
    after = run_python(folder, "-c", script)
    if "'git_dirty': False" in before and "fusion/mine.py" in after and "True" in after:
        return Outcome("shown", after.strip())
    return Outcome("passed", f"{before.strip()} then {after.strip()}")


def attack_05_edit_during_local_sweep(folder: Path) -> Outcome:
    """The second job of a command would run what was edited while the first one ran."""
    package = copy_package(folder / "src")
    root = folder / "root"
    with start_launch(
        folder, "-m", f"root={root}", "stage=data", "data.source.rows=60,61",
        "cluster.max_parallel=1",
    ) as launch:  # fmt: skip
        deadline = time.monotonic() + SLOWEST_S
        while not list_finished(root, "split-*") and time.monotonic() < deadline:
            time.sleep(0.05)
        began = len(list_finished(root, "split-*"))
        edit_module(package, SOURCE)
        launch.wait(SLOWEST_S)
    splits = list_finished(root, "split-*")
    codes = {read_sealed(path / layout.MANIFEST)["code"]["fingerprint"] for path in splits}
    if began != 1 or len(splits) != 2:
        raise RuntimeError(f"{began} splits before the edit, {len(splits)} after it: not tried")
    if len(codes) == 1:
        return Outcome("refused", f"both jobs ran the copy of the code: {codes.pop()}")
    return Outcome("passed", f"jobs of one command ran {' and '.join(sorted(codes))}")


def list_finished(root: Path, pattern: str) -> list[Path]:
    """Artefacts that are complete."""
    return [path for path in layout.artifacts_folder(root).glob(pattern) if is_complete(path)]


def copy_package(place: Path) -> Path:
    """The package below a folder, to be edited there."""
    package = place / "kvdistill"
    shutil.copytree(reach.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(HOME / "src/hydra_plugins", place / "hydra_plugins")
    return package


def edit_module(package: Path, name: str) -> None:
    """Another version of a module, which does the same: what it does is not looked at."""
    path = package / name
    path.write_text(path.read_text(encoding="utf-8") + "\nEDITED = 1\n", encoding="utf-8")


@contextmanager
def use_own_code(folder: Path) -> Iterator[Path]:
    """Within it commands of this process take a copy of the package for their code."""
    package = copy_package(folder / "src")
    with mock.patch.object(reach, "PACKAGE", package):
        yield package


def run_python(folder: Path, *arguments: str) -> str:
    """What a new interpreter prints on the copy of the package. Raises where it fails."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, check=True, capture_output=True, text=True,
        env=make_environment(folder),
    )  # fmt: skip
    return done.stdout


@contextmanager
def start_launch(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """launch.py on the copy of the package, ended with the block."""
    process = subprocess.Popen(
        [sys.executable, str(HOME / "launch.py"), *arguments], cwd=HOME,
        env=make_environment(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def make_environment(folder: Path) -> dict[str, str]:
    """This process's, with the copy of the package before any other."""
    return {**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
