"""`tune:` of a sweep's file: what every arm is tuned in, in how many trials, by which measure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kvdistill.errors import ConfigError
from kvdistill.plan.sweep import Sweep, format_literal, read_setting_path

CE, ACCURACY = "ce", "accuracy"
MEASURES = (CE, ACCURACY)
"""Lowest cross-entropy, or highest share of exact answers, both on the validation texts."""
ALL = "all"
DEFAULTS: Mapping[str, Any] = {
    "grid": {}, "trials": 0, "seeds": [], "measure": CE, "arms": ALL, "grids": {}, "draw": 0,
}  # fmt: skip
"""Of its keys; the first three must be given."""
HELD = (
    "arm", "seed", "budget", "data", "student", "style", "tasks", "scale", "train.eval_texts",
    "stats", "estimate", "cluster", "root", "study", "stage", "sweep", "trust", "hydra", "code",
)  # fmt: skip
"""What trials may not differ in: what is trained and how much, the texts that judge them, and what
is a command's to say."""
FEWEST_TRIALS, FEWEST_VALUES = 2, 2

Grid = Mapping[str, Sequence[Any]]
"""Setting, as an override has it -> its values."""


@dataclass(frozen=True)
class TuneDesign:
    """How a sweep's arms are tuned, all alike."""

    grid: Grid
    trials: int
    """Of each arm."""
    seeds: Sequence[int]
    """Each trial is trained with all of them; no confirming run has one."""
    measure: str = CE
    arms: Sequence[str] | None = None
    """Labels of the file's arms; None for every arm that trains."""
    grids: Mapping[str, Grid] = field(default_factory=dict)
    """Arm -> the grid that it has in the place of `grid`."""
    draw: int = 0
    """Another number draws other points, of a grid that has more than `trials`."""

    def get_grid(self, arm: str) -> Grid:
        """The grid of an arm, by its label in the file."""
        return self.grids.get(arm, self.grid)

    def includes(self, arm: str) -> bool:
        """Whether the file has this arm tuned, if it trains."""
        return self.arms is None or arm in self.arms

    def to_json(self) -> dict[str, Any]:
        """What makes two tunings of one question the same, arms apart."""
        return {
            "trials": self.trials, "seeds": list(self.seeds), "measure": self.measure,
            "draw": self.draw,
        }  # fmt: skip


def read_design(sweep: Sweep) -> TuneDesign | None:
    """The sweep's design; None where it tunes nothing. Raises ConfigError naming the key."""
    if sweep.tune is None:
        return None
    where = f"sweeps/{sweep.name}.yaml: tune"
    node = sweep.tune
    if not isinstance(node, Mapping):
        raise ConfigError(f"{where}={node} must map some of {', '.join(DEFAULTS)}.")
    if unknown := sorted(set(node) - set(DEFAULTS)):
        raise ConfigError(f"{where}.{unknown[0]} is none of its keys. Use {', '.join(DEFAULTS)}.")
    values = {**DEFAULTS, **node}
    check_numbers(values, where)
    check_labels(values, sweep, where)
    own = values["grids"]
    check_grid(
        values["grid"], sweep, f"{where}.grid", [each for each in sweep.arms if each not in own]
    )
    for arm, grid in own.items():
        check_grid(grid, sweep, f"{where}.grids.{arm}", [arm])
    design = TuneDesign(**{**values, "arms": None if values["arms"] == ALL else values["arms"]})
    check_seeds_apart(design, sweep.name, sweep.seeds)
    return design


def check_numbers(values: Mapping[str, Any], where: str) -> None:
    """Refuses a number of trials, seeds or a measure that cannot be."""
    trials, seeds, measure = values["trials"], values["seeds"], values["measure"]
    if not is_whole(trials) or trials < FEWEST_TRIALS:
        raise ConfigError(
            f"{where}.trials={trials} must be a whole number of {FEWEST_TRIALS} or more: at how "
            f"many points of its grid every arm is tried."
        )
    # As text: 1 and true are one element of a set.
    is_list = isinstance(seeds, list) and len(set(map(str, seeds))) == len(seeds) > 0
    if not is_list or not all(map(is_whole, seeds)):
        raise ConfigError(
            f"{where}.seeds={format_literal(seeds)} must list seeds, each once, that no run of the "
            f"sweep has, as [1, 2]."
        )
    if measure not in MEASURES:
        raise ConfigError(
            f"{where}.measure={measure} is none. Choose one of {', '.join(MEASURES)}."
        )
    if not is_whole(values["draw"]):
        raise ConfigError(f"{where}.draw={values['draw']} must be a whole number.")


def is_whole(value: Any) -> bool:
    """Whether a YAML value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_labels(values: Mapping[str, Any], sweep: Sweep, where: str) -> None:
    """Refuses a list of arms, or a grid for an arm, that the sweep does not have."""
    arms, grids, known = values["arms"], values["grids"], ", ".join(sweep.arms)
    is_list = isinstance(arms, list) and len(arms) > 0 and not set(arms) - set(sweep.arms)
    if arms != ALL and not is_list:
        raise ConfigError(
            f"{where}.arms={format_literal(arms)} must be {ALL}, or list some of {known}."
        )
    if not isinstance(grids, Mapping) or set(grids) - set(sweep.arms):
        raise ConfigError(f"{where}.grids={grids} must map arms to grids: some of {known}.")


def check_grid(grid: Any, sweep: Sweep, where: str, arms: Sequence[str]) -> None:
    """Refuses a grid without values, of what all trials share, or of what an arm or axis sets.

    `arms` are those that have the grid.
    """
    if not isinstance(grid, Mapping) or not grid:
        raise ConfigError(
            f"{where}={grid} must map settings to lists of values, as train.lr: [1e-3, 2e-3]."
        )
    for key, values in grid.items():
        path = read_setting_path(str(key))
        if not isinstance(values, list) or len(values) < FEWEST_VALUES:
            raise ConfigError(
                f"{where}.{key}={format_literal(values)} must list {FEWEST_VALUES} values or more. "
                f"What has one value belongs into the arms."
            )
        if held := next((each for each in HELD if lies_within(path, each)), None):
            raise ConfigError(
                f"{where}.{key} cannot be tuned: trials of all arms have {held} in common, or "
                f"their validation would not compare. Leave it out."
            )
        for label, set_key in list_set_keys(sweep, arms):
            if sets_again(path, set_key):
                raise ConfigError(f"{where}.{key} is set by {label}: {set_key}. Keep one of them.")


def list_set_keys(sweep: Sweep, arms: Sequence[str]) -> list[tuple[str, str]]:
    """(where, key) of what these arms and the axes set."""
    keys = [(f"arms.{label}", str(key)) for label in arms for key in sweep.arms[label]]
    return [*keys, *(("axes", str(key)) for key in sweep.axes)]


def sets_again(path: str, set_key: str) -> bool:
    """Whether a trial that sets `path` would set what this key of an arm or axis does."""
    set_path = read_setting_path(set_key)
    # A file of a group (`loss: mse`, `layers/map: anchors`) has settings, which may be tuned.
    is_group = "/" in set_key or "." not in set_key
    return lies_within(set_path, path) or (not is_group and lies_within(path, set_path))


def lies_within(path: str, above: str) -> bool:
    """Whether a dotted path is this one, or stands below it."""
    return f"{path}.".startswith(f"{above}.")


def check_seeds_apart(design: TuneDesign, name: str, seeds: Sequence[Any]) -> None:
    """Refuses confirming seeds that tuning has used: a winner is lucky with those that chose it."""
    if common := sorted({*design.seeds} & {*seeds}):
        raise ConfigError(
            f"sweeps/{name}.yaml: tune.seeds and the confirming seeds share "
            f"{', '.join(map(str, common))}. What was chosen by a seed is not confirmed by it: "
            f"give the sweep (or seed=) other seeds."
        )


def check_tuned_overrides(design: TuneDesign, name: str, overrides: Sequence[str]) -> None:
    """Refuses an override of a command that sets what is tuned."""
    grids = (design.grid, *design.grids.values())
    tuned = {read_setting_path(str(key)): key for grid in grids for key in grid}
    for item in overrides:
        path = read_setting_path(item)
        for each, key in tuned.items():
            if lies_within(path, each) or lies_within(each, path):
                raise ConfigError(
                    f"{item} contradicts sweep={name}, whose tune.grid tries {key}. Drop the "
                    f"override, or take {key} out of the grid."
                )
