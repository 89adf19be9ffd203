"""What launch.py does: one command, from what Hydra understood of it to its exit code."""

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from kvdistill.cache_folders import explain_unwritable_cache
from kvdistill.cli.common import JobOverrides
from kvdistill.cli.help import describe_group_page, help_text
from kvdistill.config import compose_cache, hydra_guard, hydra_internals
from kvdistill.config.compose import compose
from kvdistill.config.explain import explain_error
from kvdistill.config.types import suggest_choice
from kvdistill.console import SafeConsole, label_message, write_stderr
from kvdistill.errors import ConfigError, UserError
from kvdistill.stats.settings import read_settings

STAGES = (
    "run", "tune", "plan", "doctor", "data", "teachers", "evaluate", "fetch", "status", "why",
    "retry", "cancel", "withdraw", "report", "smoke", "adopt",
    "publish",
)  # fmt: skip
"""Each is a module of this folder, or of FOLDERS, whose function STAGE_command does it."""
FOLDERS = {"publish": "hub."}
"""Stage -> package below this one that has its module, where it is not here."""
MULTIRUN = ("-m", "--multirun")
ONE_CHOICE = {
    "cluster": "where runs go", "stats": "how their records are judged",
    "study": "where one command's runs stand together", "root": "where everything lies",
}  # fmt: skip
"""Groups and settings of which a command has one choice."""


@dataclass(frozen=True)
class ParsedCommand:
    """What Hydra understood: its override lists (one a job), and itself with its search path."""

    job_overrides: JobOverrides
    hydra: object


_requests: list[ParsedCommand] = []


def remember_hydra_overrides(job_overrides: JobOverrides) -> None:
    """Called by Hydra, without or with `-m`; only remembers.

    Whatever is raised inside a Hydra job is printed, wrapped and, in a multirun, swallowed.
    """
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    _requests.append(ParsedCommand(job_overrides, hydra))


def run_command_line(main: Callable[[], None], home: Path) -> int:
    """Lets Hydra read the command line, then does it; returns the exit code.

    0 done, 2 a bad setting, 1 anything else, with one line on stderr. HYDRA_FULL_ERROR=1 asks
    for the traceback. `home` holds conf/ and sweeps/.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        return print_help(home, [word for word in sys.argv[1:] if word not in ("--help", "-h")])
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting
    try:
        let_hydra_read(main, home)
        while _requests:
            parsed = _requests.pop(0)
            # hydra.main has cleared it by now, and stages compose with its search path.
            GlobalHydra.instance().initialize(parsed.hydra)  # type: ignore[arg-type]
            execute_stage(parsed.job_overrides, home / "sweeps")
    except KeyboardInterrupt:
        return print_error("Interrupted. Repeat the command to continue.", 130)
    except Exception as error:  # noqa: BLE001 - the last frame: everything becomes an exit code
        if full_error:
            write_stderr(traceback.format_exc())
        if isinstance(error, UserError):
            return print_error(str(error), 2 if isinstance(error, ConfigError) else 1)
        if getattr(error, "errno", None) == errno.ENOSPC:
            return print_error(
                "no space is left on the disk of root, or of the temporary folder. Make room and "
                "repeat the command.", 1,
            )  # fmt: skip
        if (line := explain_unwritable_cache(error)) is not None:
            return print_error(line, 1)
        name = type(error).__name__
        return print_error(f"{name}: {error} (HYDRA_FULL_ERROR=1 shows the traceback)", 1)
    return 0


def print_help(home: Path, groups: Sequence[str]) -> int:
    """The page of everything, or of each group that is named; the exit code back."""
    try:
        pages = [describe_group_page(home, group) for group in groups] or [help_text(home)]
    except ConfigError as error:
        return print_error(str(error), 2)
    sys.stdout.write("\n".join(pages))
    return 0


def let_hydra_read(main: Callable[[], None], home: Path) -> None:
    """Hydra reads the command line; what it cannot read is a ConfigError."""
    # argparse takes no overrides on both sides of a flag, and ends with its own usage.
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda word: word not in MULTIRUN)
    try:
        with hydra_guard.guard_hydra_config(), offer_stages_and_sweeps(home):
            main()
    except (HydraException, OmegaConfBaseException, TypeError, ValueError) as error:
        with initialize_config_dir(str(home / "conf"), version_base="1.3"):
            # Hydra does not say which override it could not read.
            if isinstance(error, TypeError) or "group override must be" in str(error):
                compose_cache.check_command(sys.argv[1:])
            raise ConfigError(explain_error(error)) from error


@contextmanager
def offer_stages_and_sweeps(home: Path) -> Iterator[None]:
    """While this lasts, the shell that asks is offered them; other commands load nothing for it."""
    if not {"-sc", "--shell-completion"} & set(sys.argv[1:]):
        yield
        return
    from kvdistill.cli.guide.complete_words import offer_values

    sweeps = sorted(path.stem for path in (home / "sweeps").glob("*.yaml"))
    with offer_values({"stage": STAGES, "sweep": sweeps}):
        yield


def execute_stage(job_overrides: JobOverrides, sweeps: Path) -> None:
    """Does the stage that the command names. Raises UserError with one line."""
    hydra_internals.enable_file_cache()
    first = [item for item in job_overrides[0] if not item.startswith(("sweep=", "seed="))]
    config = compose(first)
    stage = config["stage"]
    if stage not in STAGES:
        raise ConfigError(f"stage={stage} is no stage. {suggest_choice(stage, STAGES)}")
    if config["data"]["validate_only"] and stage != "data":
        raise ConfigError(
            f"data.validate_only=true checks a split and does nothing else, but stage={stage}. "
            "Use stage=data."
        )
    read_settings(config["stats"])  # a report reads them last, when everything is computed
    for group, why in ONE_CHOICE.items():
        given = {item for items in job_overrides for item in items if item.startswith(group)}
        if any(item not in items for item in given for items in job_overrides):
            raise ConfigError(f"{group} cannot be swept: it is {why}, not what runs are.")
    # Loaded only now: doctor and plan need scipy, cancel needs submitit, all slow to import.
    module = import_module(f"kvdistill.cli.{FOLDERS.get(stage, '')}{stage}")
    getattr(module, f"{stage}_command")(job_overrides, sweeps)


def print_error(message: str, code: int) -> int:
    """One line on stderr, and the exit code back."""
    line = " ".join(message.split())
    SafeConsole(stderr=True).print(label_message("error", "red", line), soft_wrap=True)
    return code
