"""Options of sbatch that a user adds, beside the lines that the cluster's settings become.

SLURM takes one line of a kind: --mem and --mem-per-cpu exclude each other, and of two --time the
later wins in silence, while signals and estimates are reckoned from the setting.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kvdistill.errors import ConfigError

STATES = {
    "mem": "mem_gb", "mem-per-cpu": "mem_gb", "mem-per-gpu": "mem_gb",
    "gpus": "gpus", "gpus-per-node": "gpus", "gpus-per-task": "gpus", "gpus-per-socket": "gpus",
    "gres": "gpus", "partition": "partition", "account": "account", "qos": "qos",
    "constraint": "constraint",
}  # fmt: skip
"""Option -> the setting that says the same; either may be given, since the setting may be null."""
ALWAYS_WRITTEN = {
    "time": "time_min", "nodes": "nodes", "cpus-per-task": "cpus", "cpus-per-gpu": "cpus",
    "ntasks": "nodes and budget.num_gpus", "ntasks-per-node": "nodes and budget.num_gpus",
    "ntasks-per-gpu": "nodes and budget.num_gpus", "ntasks-per-core": "cpus",
    "ntasks-per-socket": "cpus", "signal": "signal_s", "requeue": "max_retries",
    "no-requeue": "max_retries", "array": "array_throttle",
}  # fmt: skip
"""Option -> the setting whose line stands in every script."""
KEPT_BY_PLATFORM = (
    "output", "error", "input", "open-mode", "job-name", "dependency", "wrap", "parsable", "wait",
    "test-only", "kill-on-invalid-dep",
)  # fmt: skip
"""Options by which jobs are found, ordered and awaited."""


def parse_sbatch_option(given: str) -> tuple[str, str | bool]:
    """--NAME=VALUE or --NAME, as submitit takes it."""
    name, _, value = given.removeprefix("--").partition("=")
    return name, value or True


def list_stated_settings(options: Sequence[str]) -> set[str]:
    """The settings (mem_gb, gpus, ...) whose line these options stand in for."""
    return {STATES[name] for name in map(_name_resource, options) if name in STATES}


def check_sbatch_options(resources: Mapping[str, Any], path: str) -> None:
    """Refuses options that say again, or otherwise, what another line of the script says.

    `resources` are fields of Resources at the config path `path`. Raises ConfigError naming both.
    """
    options = list(resources.get("sbatch") or [])
    names = [parse_sbatch_option(option)[0] for option in options]
    for option, name in zip(options, names, strict=True):
        if name in KEPT_BY_PLATFORM:
            raise ConfigError(
                f"{path}.sbatch: {option} is what finds, orders or awaits the jobs themselves. "
                f"Drop it."
            )
        if name in ALWAYS_WRITTEN:
            raise ConfigError(
                f"{path}.sbatch: {option} says what {path}.{ALWAYS_WRITTEN[name]} says, whose line "
                f"every script has. Set that instead."
            )
        setting = STATES.get(_name_resource(option))
        if setting is not None and resources.get(setting) is not None and resources[setting] != 0:
            raise ConfigError(
                f"{path}.{setting}={resources[setting]} and {option} of {path}.sbatch say one "
                f"thing twice. Keep one: set {setting} to null, or drop the option."
            )
    for name, count in Counter(names).items():
        if count > 1:
            raise ConfigError(f"{path}.sbatch has --{name} {count} times. Keep one.")
    if len(memory := [name for name in names if STATES.get(name) == "mem_gb"]) > 1:
        raise ConfigError(
            f"{path}.sbatch has --{' and --'.join(memory)}, which exclude each other. Keep one."
        )


def _name_resource(option: str) -> str:
    """The option's name; empty for a --gres of something else than GPUs."""
    name, value = parse_sbatch_option(option)
    return "" if name == "gres" and "gpu" not in str(value) else name
