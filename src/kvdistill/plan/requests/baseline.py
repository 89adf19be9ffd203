"""baseline=ARM: an arm that joins those of a command without a sweep; they are compared with it.

It is one arm for all of them, a run a seed: it takes what the command sets for every run, less what
is about being taught as they are.
"""

from collections.abc import Iterator, Sequence

from kvdistill.config.compose import Config, compose
from kvdistill.errors import ConfigError
from kvdistill.plan.labels.recipe_difference import is_within
from kvdistill.plan.sweep import read_setting_path

BASELINE = "baseline"
NO_BASELINE = ("", "null")
EVERY_ARM = ("loss.ce_weight",)
"""What arms have in common that stands in a group which an arm may fix: it stays."""
TAUGHT = ("logits", "on_policy", "data.answers", "data.answers_from", "data.decoding")
"""What an arm without teachers does not fix, and can have none of."""


def list_baseline_overrides(
    job_overrides: Sequence[Sequence[str]], varied: Sequence[str]
) -> Iterator[tuple[str, dict[str, str], list[str]]]:
    """(arm, the job's settings, the run's overrides) of each run of the baseline, once a seed.

    Args:
        job_overrides: the command's, one list a job.
        varied: keys whose value is not the same in every list, but for the seed's.

    Raises:
        ConfigError: for a command with a sweep, for an arm that there is not, and where the command
            varies what the baseline has too.
    """
    seen: set[tuple[str | None, ...]] = set()
    for overrides in job_overrides:
        given = dict(item.split("=", 1) for item in overrides if "=" in item)
        arm = given.get(BASELINE, "null")
        if arm in NO_BASELINE:
            continue
        if given.get("sweep", "null") not in NO_BASELINE:
            raise ConfigError(
                f"{BASELINE}={arm} joins the arms of a command without a sweep, and "
                f"sweep={given['sweep']} declares its own. Drop {BASELINE}, or add the arm to a "
                f"file of sweeps/."
            )
        if not arm.isidentifier():
            raise ConfigError(f"{BASELINE}={arm} must be the name of one arm, such as sft.")
        try:
            own = compose([f"arm={arm}"])
        except ConfigError as error:
            raise ConfigError(f"{BASELINE}={arm}: {error}") from error
        if common := [key for key in varied if not is_of_teaching(key, own)]:
            raise ConfigError(
                f"{BASELINE}={arm} is one arm for all of the command, which varies {common[0]}, "
                f"and the baseline has that too. Give {common[0]} one value, or write a file of "
                f"sweeps/ with a baseline at each."
            )
        kept = [item for item in overrides if not is_of_teaching(item, own)]
        chosen = [*kept, f"arm={arm}"]
        if (run := (given.get("seed"), *chosen)) not in seen:
            seen.add(run)
            yield arm, given, chosen


def is_of_teaching(override: str, own: Config) -> bool:
    """Whether an override says how arms are taught, as the baseline fixes or cannot have it.

    Args:
        override: of the command, or its key alone.
        own: the config of the baseline as its file has it.
    """
    path = read_setting_path(override)
    if path in (BASELINE, "arm", "seed", "sweep"):
        return True
    if path in EVERY_ARM:
        return False
    fixed = [read_setting_path(key) for key in own["fixes"]]
    if not own["teachers"]:
        fixed += TAUGHT
    return any(is_within(path, each) or is_within(each, path) for each in fixed)
