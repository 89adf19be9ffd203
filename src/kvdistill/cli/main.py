"""What launch.py does: one command, from what Hydra understood of it to its exit code."""

import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from kvdistill.cli import data, evaluate, help, run
from kvdistill.config import compose_cache, hydra_guard
from kvdistill.config.compose import compose, explain
from kvdistill.console import Screen, labelled, say
from kvdistill.errors import ConfigError, UserError
from kvdistill.stats.settings import settings

STAGES: dict[str, Callable[[Sequence[Sequence[str]], Path], None]] = {
    "run": run.run,
    "plan": run.plan,
    "doctor": run.doctor,
    "data": data.run,
    "teachers": run.teachers,
    "evaluate": evaluate.run,
    "fetch": run.fetch,
    "status": run.status,
    "why": run.why,
    "retry": run.retry,
    "cancel": run.cancel,
    "report": run.report,
}
ONE = {"cluster": "where runs go", "stats": "how their records are judged"}
"""Groups of which a command has one choice."""


@dataclass(frozen=True)
class Asked:
    """What Hydra understood: its override lists (one a job) and its search path."""

    job_overrides: Sequence[Sequence[str]]
    hydra: Hydra


_asked: list[Asked] = []


def ask(job_overrides: Sequence[Sequence[str]]) -> None:
    """Called by Hydra, without or with `-m`; only remembers.

    Whatever is raised inside a Hydra job is printed, wrapped and, in a multirun, swallowed.
    """
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    _asked.append(Asked(job_overrides, hydra))


def run(main: Callable[[], None], home: Path) -> int:
    """Lets Hydra read the command line, then does it; returns the exit code.

    0 done, 2 a bad setting, 1 anything else, with one line on stderr. HYDRA_FULL_ERROR=1 asks
    for the traceback. `home` holds conf/ and sweeps/.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        sys.stdout.write(help.text(home))
        return 0
    asked = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting
    try:
        read(main, home)
        for item in _asked:
            GlobalHydra.instance().initialize(item.hydra)
            execute(item.job_overrides, home / "sweeps")
    except KeyboardInterrupt:
        return complain("Interrupted. Repeat the command to continue.", 130)
    except Exception as error:  # noqa: BLE001 - the last frame: everything becomes an exit code
        if asked:
            say(traceback.format_exc())
        if isinstance(error, UserError):
            return complain(str(error), 2 if isinstance(error, ConfigError) else 1)
        if getattr(error, "errno", None) == errno.ENOSPC:
            return complain(
                "no space is left on the disk of root, or of the temporary folder. Make room and "
                "repeat the command.", 1,
            )  # fmt: skip
        name = type(error).__name__
        return complain(f"{name}: {error} (HYDRA_FULL_ERROR=1 shows the traceback)", 1)
    return 0


def read(main: Callable[[], None], home: Path) -> None:
    """Hydra reads the command line; what it cannot read is a ConfigError."""
    try:
        with hydra_guard.fixed():
            main()
    except (HydraException, OmegaConfBaseException, TypeError, ValueError) as error:
        with initialize_config_dir(str(home / "conf"), version_base="1.3"):
            # It does not say which.
            if isinstance(error, TypeError) or "group override must be" in str(error):
                compose_cache.check_command(sys.argv[1:])
            raise ConfigError(explain(error)) from error


def execute(job_overrides: Sequence[Sequence[str]], sweeps: Path) -> None:
    """Does the stage that the command names. Raises UserError with one line."""
    compose_cache.compose_alike_once()
    first = [item for item in job_overrides[0] if not item.startswith(("sweep=", "seed="))]
    config = compose(first)
    stage = config["stage"]
    if stage not in STAGES:
        raise ConfigError(f"stage={stage} is no stage. Choose one of {', '.join(STAGES)}.")
    if config["data"]["validate_only"] and stage != "data":
        raise ConfigError(
            f"data.validate_only=true checks a split and does nothing else, but stage={stage}. "
            "Use stage=data."
        )
    settings(config["stats"])  # a report reads them last, when everything is computed
    for group, why in ONE.items():
        given = {item for items in job_overrides for item in items if item.startswith(group)}
        if any(item not in items for item in given for items in job_overrides):
            raise ConfigError(f"{group} cannot be swept: it is {why}, not what runs are.")
    STAGES[stage](job_overrides, sweeps)


def complain(message: str, code: int) -> int:
    """One line on stderr, and the code."""
    line = " ".join(message.split())
    Screen(stderr=True).print(labelled("error", "red", line), soft_wrap=True)
    return code
