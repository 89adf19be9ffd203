"""What a YAML may not do to Hydra itself, checked before Hydra acts on what it has read.

Hydra's own node can name callbacks and log handlers to call, variables to set and folders to make.
None of that is a choice here, so whatever a file puts there is refused.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from hydra import compose as hydra_compose
from omegaconf import OmegaConf
from omegaconf.resolvers import oc

from kvdistill import redact
from kvdistill.config.hydra_internals import check_loaded_configs
from kvdistill.errors import ConfigError

SHELL = ("setup", "container", "python", "sbatch", "resources")
"""Settings of a cluster that its jobs' scripts hold as they stand."""
QUIET = {"version": 1, "root": None, "disable_existing_loggers": False}
FIXED: Mapping[str, Any] = {
    "callbacks": {},
    "launcher": {"_target_": "hydra_plugins.kvdistill_launcher.KVDistillLauncher"},
    "sweeper": {
        "_target_": "hydra_plugins.kvdistill_sweeper.KVDistillSweeper",
        "max_batch_size": None,
        "params": None,
    },
    "hydra_logging": QUIET,
    "job_logging": QUIET,
    "env": {},
    "output_subdir": None,
    "run": {"dir": "."},
    "sweep": {"dir": ".", "subdir": "."},
    "job.chdir": False,
    "job.env_set": {},
    "job.env_copy": [],
}
"""Hydra's settings as conf/config.yaml leaves them, unresolved."""


def guard_hydra_config() -> AbstractContextManager[None]:
    """While this lasts, whatever config Hydra loads is checked before Hydra uses it."""
    return check_loaded_configs(
        lambda config: check_hydra_node(OmegaConf.to_container(config.hydra, resolve=False))
    )


@contextmanager
def refuse_environment() -> Iterator[None]:
    """While this lasts, a config that asks for an environment variable is refused.

    It would be frozen with every run, and be another run elsewhere.
    """

    def refuse(name: str, *_: Any) -> None:
        raise ConfigError(
            f"${{oc.env:{name}}}: a config holds no environment variable. Give the value itself, "
            f"as in key=$NAME on the command line."
        )

    # Hydra's own node needs the resolver before and after, so it is only exchanged.
    OmegaConf.register_new_resolver("oc.env", refuse, replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)


def check_hydra_node(node: Any) -> None:
    """Raises ConfigError for a setting of Hydra's that is not its own, and for a secret."""
    for path, expected in FIXED.items():
        actual = node
        for key in path.split("."):
            actual = actual[key]
        if actual != expected:
            raise ConfigError(
                f"hydra.{path} must stay as conf/config.yaml has it, got "
                f"{redact.redact_secrets(repr(actual))}. Take it out of the chosen files."
            )
    check_secrets(node["overrides"]["task"])


def check_shell(cluster: Any, choices: Sequence[str]) -> None:
    """Refuses what jobs run as shell, unless a file of conf/cluster or the command says it."""
    if not isinstance(cluster, Mapping):
        return
    shell_settings = {key: cluster[key] for key in SHELL if cluster.get(key)}
    if not any(shell_settings.get("resources", {}).values()):
        shell_settings.pop("resources", None)
    if shell_settings:
        chosen = [item for item in choices if re.match(r"\+*cluster=", item)]
        alone = hydra_compose("config", chosen).cluster
        for key, value in shell_settings.items():
            if value != alone.get(key):
                raise ConfigError(
                    f"cluster.{key}={value} becomes part of the jobs' scripts, but a file "
                    f"outside conf/cluster sets it. Give it there or in the command."
                )


def check_secrets(overrides: list[str]) -> None:
    """Refuses an override with a token or password in it, which Hydra and plans would keep."""
    for item in overrides:
        if redact.redact_secrets(item) != item:
            raise ConfigError(describe_secret(redact.redact_secrets(item.split("=", 1)[0])))


def describe_secret(path: str) -> str:
    """What is said of a secret, which is not repeated."""
    return (
        f"{path} holds a token or password, which would be kept with every run. Leave it out: "
        f"libraries read HF_TOKEN, WANDB_API_KEY and the like from the environment."
    )
