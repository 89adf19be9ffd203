"""One job: builds the artefact, or does the run, whose frozen config.yaml lies in a folder.

    python -m kvdistill.jobs FOLDER [training]
    torchrun --nproc-per-node N -m kvdistill.jobs FOLDER [training]

Reads nothing but that folder and the artefacts it names, so a YAML edited meanwhile changes
nothing. Two jobs for one folder build it once: the second waits for the first's lease. Of several
ranks, rank 0 holds the lease and writes; the others compute, and exit with the same code. With
`training` a run is trained and no more: the scores are left to another job, which finds it so.
"""

import errno
import logging
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import SoftFileLease

from kvdistill import layout, manifest, preemption
from kvdistill.cache_folders import explain_unwritable_cache
from kvdistill.console import write_stderr
from kvdistill.errors import ConfigError, UserError
from kvdistill.files import is_complete, remove_parts
from kvdistill.garbage import keep_imports
from kvdistill.jobs.code_record import record_code
from kvdistill.jobs.failure_cause import classify_failure
from kvdistill.jobs.kill_once import kill_at_step
from kvdistill.jobs.rendezvous import Failure, Ranks
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.graph import Node
from kvdistill.plan.run_jobs import EVALUATION, TRAINING, is_trained
from kvdistill.plan.world_size import world_size
from kvdistill.preemption import Preempted
from kvdistill.stats import preregistration
from kvdistill.status import (
    STOPPED,
    StatusWriter,
    WarningHandler,
    enter_phase,
    tell_phases_to,
)

NO_SPACE = errno.ENOSPC
"""Exit code of a job that found no room to say what happened."""
ENDED = 128 + signal.SIGTERM
"""Exit code of a job that was told to end, as shells have it."""
LEASE_S = 20.0
"""Seconds without a heartbeat after which a holder counts as dead."""


def main(folder: Path, kind: str | None = None) -> int:
    """The job's exit code: 0 done, 2 a bad setting, 1 anything else; status.json says why.

    `kind`: of plan/run_jobs.py, for a job that does a part of a run.

    Where not even that can be written the code is NO_SPACE. A job that SIGTERM stopped has ENDED.
    """
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return work_on_folder(folder, kind, "queued")  # a cluster's job has its own answer
    preemption.install_end_handler(signal.SIGTERM)
    try:
        return work_on_folder(folder, kind, STOPPED)
    except Preempted:
        return ENDED


def work_on_folder(folder: Path, kind: str | None, state_if_preempted: str) -> int:
    """As `main`, but for what answers a signal. Raises Preempted."""
    status = StatusWriter(folder)
    try:
        ranks = Ranks.from_environment(os.environ)
        if ranks.rank > 0:
            return run_other_rank(folder, ranks, kind)
        ranks.meet(lambda failure: status.write("failed", error=failure[1]))
    except UserError as error:
        status.write("failed", error=str(error))
        return 2
    try:
        # A lease, not a lock: on network file systems flock may not reach other nodes.
        with SoftFileLease(f"{folder}.lease", lease_duration=LEASE_S):
            return run_rank_zero(folder, ranks, status, kind, state_if_preempted)
    finally:
        ranks.leave()


def run_rank_zero(
    folder: Path, ranks: Ranks, status: StatusWriter, kind: str | None, state_if_preempted: str
) -> int:
    """What a process alone does, and rank 0 of several. Raises Preempted."""
    if is_complete(folder) or (kind == TRAINING and is_trained(folder)):
        ranks.send("turn", "done")
        return 0
    ranks.send("turn", "begin")
    # Only now: while another process held the lease, its files were being written.
    remove_parts(folder)
    warning_handler = WarningHandler(status)
    logging.getLogger("kvdistill").addHandler(warning_handler)
    try:
        status.write("running", **status.steps)
        with status.keep_alive(), tell_phases_to(status):
            build_folder(folder, ranks, status, kind)
    except Preempted:
        status.write(state_if_preempted, **status.steps)
        raise
    except Exception as error:  # noqa: BLE001 - the last frame: every failure is recorded
        own_failure = describe_failure(error, folder)
        # Another rank's failure may be the cause of this one's; the first that was told is
        # recorded.
        code, line = ranks.report_failure(own_failure)
        try:
            why = classify_failure(error) if line == own_failure[1] else "error"
            status.write("failed", error=line, cause=why)
            write_stderr(traceback.format_exc())
        except OSError as second:  # a full disk takes neither
            return NO_SPACE if second.errno == errno.ENOSPC else code
        return code
    finally:
        logging.getLogger("kvdistill").removeHandler(warning_handler)
    status.write("trained" if kind == TRAINING else "done")
    ranks.send("finished", "")
    return 0


def run_other_rank(folder: Path, ranks: Ranks, kind: str | None) -> int:
    """What every other rank does: its part of the work, then waits for rank 0 to finish."""
    ranks.meet(lambda _: None)
    try:
        if ranks.receive("turn") == "done":
            return 0
        build_folder(folder, ranks, None, kind)
        ranks.receive("finished")
    except Exception as error:  # noqa: BLE001 - the last frame
        write_stderr(traceback.format_exc())
        return ranks.report_failure(describe_failure(error, folder))[0]
    finally:
        ranks.leave()
    return 0


def describe_full_disk(folder: Path) -> str:
    """What is said where there is no room."""
    return f"no space is left on the disk of {folder}. Make room and repeat the command"


def describe_failure(error: Exception, folder: Path) -> Failure:
    """The exit code, and the one line that says why."""
    if not isinstance(error, UserError) and os.strerror(NO_SPACE) in str(error):
        return 1, describe_full_disk(
            folder
        )  # of the system, or of safetensors, which has a type of its own
    if not isinstance(error, UserError) and (cache_line := explain_unwritable_cache(error)):
        return 1, cache_line
    line = " ".join(str(error).split()) or type(error).__name__
    typed_line = line if isinstance(error, UserError) else f"{type(error).__name__}: {line}"
    return (2 if isinstance(error, ConfigError) else 1), typed_line


def build_folder(folder: Path, ranks: Ranks, status: StatusWriter | None, kind: str | None) -> None:
    """Does what the frozen config asks for; rank 0 then completes the folder with its manifest."""
    began = time.monotonic()
    node = read_recipe(folder)
    check_job_kind(node, folder, ranks, kind)
    with keep_imports():
        from kvdistill.jobs.builders import BUILDERS  # imports torch

    ranks.connect()
    artifacts = layout.find_artifacts_folder(folder)
    needs = {role: artifacts / name for role, name in node.needs.items()}
    with enter_phase("verifying what it reads"):  # gigabytes of weights, for one
        manifests = {role: manifest.verify_artifact(need) for role, need in needs.items()}
    code = record_code(folder, node, manifests) if status is not None else None
    progress = status.write_progress if status is not None else lambda *_: None
    if status is not None and "kill_at_step" in node.recipe:  # of a smoke job
        progress = kill_at_step(node.recipe["kill_at_step"], folder, progress)
    build = BUILDERS[kind if kind == TRAINING else node.kind]
    facts = build(node.recipe, needs, folder, progress)
    if status is None or code is None or kind == TRAINING:
        return
    facts = {"wall_s": time.monotonic() - began, "ranks": ranks.size} | facts
    facts |= {"code": code.to_json()} | preregistration.read_registration(folder)
    manifest.write_manifest(folder, node.kind, node.needs, facts)
    # The manifest has all of it; a process that is killed here leaves a file that nobody reads.
    (folder / layout.TRAINED).unlink(missing_ok=True)
    if node.kind == "run" and not keeps_model(node.recipe):
        shutil.rmtree(folder / layout.MODEL, ignore_errors=True)


def keeps_model(recipe: Mapping[str, Any]) -> bool:
    """Whether a run's student stays once its scores are complete; an untrained one has none."""
    # A plan that was frozen before there was such a setting has none.
    return bool(recipe.get("train", {}).get("keep_model", True))


def check_job_kind(node: Node, folder: Path, ranks: Ranks, kind: str | None) -> None:
    """Raises ConfigError for a part of what is no trained run, or another number of processes.

    Items are divided among however many there are; what trains divides its batch as it was planned.
    """
    is_run = node.kind == "run" and node.recipe["trained"]
    if kind == TRAINING and not is_run:
        raise ConfigError(f"{folder} is no run that trains, so it has no {TRAINING} to do.")
    if kind == EVALUATION and is_run and not is_trained(folder):
        raise ConfigError(
            f"{folder} is not trained, so there is nothing to score. Repeat the command: it trains "
            f"the run first."
        )
    if kind != EVALUATION and not (is_run and is_trained(folder)):
        ranks.check_world_size(world_size(node.kind, node.recipe))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:3]))
