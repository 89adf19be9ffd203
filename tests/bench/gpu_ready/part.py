"""What a part of tests.bench.gpu_ready is; each lies in a module of its own beside this one."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Part:
    """One thing that is counted on a CPU and decides how the platform fares on a GPU.

    A module of this folder that has one as `PART` is part of the bench, under the module's name;
    nothing else is edited. Names of figures are unique over the parts.
    """

    measure: Callable[[bool], Mapping[str, float]]
    """Given whether it is to be quick: figure -> its value."""
    at_most: Mapping[str, float] = field(default_factory=dict)
    """Figure -> its upper bound. A figure that this run did not measure is not judged."""
    at_least: Mapping[str, float] = field(default_factory=dict)
    """Figure -> its lower bound."""

    def judge(self, figures: Mapping[str, float]) -> dict[str, bool | None]:
        """Figure -> whether it keeps its bounds; None where it was not measured."""
        met: dict[str, bool | None] = {}
        for name, bound in self.at_most.items():
            met[name] = None if name not in figures else figures[name] <= bound
        for name, bound in self.at_least.items():
            keeps = None if name not in figures else figures[name] >= bound
            met[name] = keeps if met.get(name, True) is not False else False
        return met


def collect_parts() -> dict[str, Part]:
    """Every part by the name of its module, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    modules = {
        name: importlib.import_module(f"tests.bench.gpu_ready.{name}")
        for name in names
        if name != "__main__"
    }
    return {name: module.PART for name, module in modules.items() if hasattr(module, "PART")}
