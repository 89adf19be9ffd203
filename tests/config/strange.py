"""Commands that a user could type and no author thought of, and what becomes of each."""

import contextlib
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
BASES: tuple[tuple[str, ...], ...] = (
    (),
    ("arm=sft",),
    ("arm=single_teacher", "source=store"),
    ("fusion=staged", "projection=linear", "alignment=soft_causal", "compression=r_kv"),
    (
        "fusion=best_single",
        "fusion.teacher=a",
        "loss/balance=gradient_norm",
        "layers/map=anchors",
        "layers.map.anchors={0:0,3:5}",
    ),
    ("source=shuffled", "position=rephase", "layers/map=proportional", "loss=gram"),
    ("data=jsonl", "data.source.path=README.md", "style=cot"),
    ("cluster=slurm", "sweep=ablation_layers"),
    ("train=zero2", "budget.num_gpus=2", "adapter=lora"),
    ("scale=paper", "teachers=cross_family"),
    ("sweep=baselines",),
)
"""What is then changed: together they reach every group."""
SENSIBLE = (
    "seed=7", "compression=uniform", "compression.keep=0.25", "kv=k", "fusion=similarity",
    "budget.batch_size=8", "budget.total_tokens=500000", "train.lr=0.001", "layers=shallow",
    "alignment=truncate", "teachers=two", "tasks=quick", "stats.confidence=0.9", "study=another",
    "loss.ce_weight=1", "estimate.kind=a100-80gb", "style=direct", "data.source.rows=50",
)  # fmt: skip
WORDS = (
    "", " ", "abc", "1e3", "null", "true", "../..", "/etc/passwd", "a/b", "a=b", "[red]", "%s",
    "-1", "0x10", "\u6c49\u5b57", "\u0661\u0662", "\U0001f600", "e\u0301", "\u202e", "\x1b[2J",
    "a\nb", "\x00", "\ud800", "x" * 5000, "${seed}", "${nothing}", "${oc.env:HOME}", "\\", "'",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 3, 7, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.0, -0.0, 0.5, 1.5, 1e-320, 1e308,
    float("inf"), float("-inf"), float("nan"),
)  # fmt: skip


def plain() -> st.SearchStrategy[Any]:
    """A value without parts."""
    return st.one_of(
        st.none(), st.booleans(), st.sampled_from(NUMBERS), st.sampled_from(WORDS),
        st.integers(), st.floats(), st.text(max_size=8),
    )  # fmt: skip


def values() -> st.SearchStrategy[Any]:
    """Any value: deep, long, or with a target."""
    keys = st.sampled_from(("a", "_target_", "_partial_", "0", "seed", "name", "path"))
    nested = st.recursive(
        plain(),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)
        ),
        max_leaves=6,
    )
    rare = st.sampled_from(
        ([0] * 300, ["a"] * 300, {"_target_": "os.getcwd"}, {"_target_": "kvdistill.files.sha256"})
    )
    return st.one_of(plain(), plain(), nested, rare)


def literal(value: Any) -> str:
    """A value in the grammar of overrides, whatever it is."""
    from kvdistill.plan.sweep import format_literal as known

    return known(value)


def known_paths() -> list[str]:
    """Every group and dotted key that some base has, and some that none has."""
    from kvdistill.config.compose import compose
    from kvdistill.config.explain import known_keys, walk_keys

    keys = dict.fromkeys(known_keys())
    for base in BASES:
        items = [item for item in base if not item.startswith("sweep=")]
        keys |= dict.fromkeys(walk_keys(compose(items)))
    left_out = ("stage", "root", "choices", "fixes", "report", "evaluate", "status", "run")
    return sorted(key for key in keys if key.split(".")[0] not in left_out)


@st.composite
def commands(draw: st.DrawFn, paths: list[str]) -> list[str]:
    """A base, and one to three changes of it."""
    base = list(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(paths))
        kind = draw(st.integers(0, 17))
        if kind > 11:
            base.append(draw(st.sampled_from(SENSIBLE)))
        elif kind == 0:
            base.append(f"~{path}")
        elif kind == 1:
            base.append(
                f"+{path}.{draw(st.sampled_from(('new', 'a.b')))}={literal(draw(values()))}"
            )
        elif kind == 2:
            base.append(f"{path}={draw(st.text(max_size=12))}")  # as it stands: no grammar
        else:
            base.append(f"{path}={literal(draw(values()))}")
    return base


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    accepted: bool
    message: str
    """The refusal."""
    seconds: float
    fault: str
    """What was wrong with that; empty for nothing."""


def try_command(command: list[str], root: Path) -> Outcome:
    """Composes, plans, prices and checks the command as launch.py does before it writes.

    Hydra must be initialised on conf/. `root` must stay empty.
    """
    import kvdistill.train.preflight  # noqa: F401 - torch is not what is timed
    from kvdistill.errors import ConfigError, UserError

    began, message, fault, accepted = time.perf_counter(), "", "", True
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            plan_command([*command, f"root={root}"])
    except ConfigError as error:
        accepted, message = False, str(error)
        fault = find_refusal_fault(command, message)
    except UserError as error:
        accepted, message, fault = False, str(error), "a bad setting is no ConfigError"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        accepted, message, fault = False, f"{type(error).__name__}: {error}", "it is no refusal"
    if any(root.iterdir()):
        fault = "it left something in root"
    return Outcome(accepted, message, time.perf_counter() - began, fault)


def plan_command(command: list[str]) -> None:
    """All that comes before anything is written."""
    from kvdistill.cli import plan as plan_stage
    from kvdistill.cli.plan_table import tabulate_plan
    from kvdistill.console import SafeConsole
    from kvdistill.plan.expand import expand_command
    from kvdistill.plan.pin import assume_commits
    from kvdistill.stats import preregistration
    from kvdistill.stats.settings import read_settings
    from kvdistill.train.preflight import check_run_config

    screen = SafeConsole(width=120)
    screen.file = io.StringIO()
    plan = expand_command([[*command, "stage=plan"]], ROOT / "sweeps")
    read_settings(plan.config["stats"])
    screen.print(tabulate_plan(plan))
    with mock.patch.object(plan_stage, "console", screen):
        plan_stage.show_costs(plan)
    preregistration.list_claims_by_run(plan)
    checked = set()
    for run in plan.runs.values():
        if run.recipe not in checked:
            checked.add(run.recipe)
            check_run_config(assume_commits(run.config))


def find_refusal_fault(command: list[str], message: str) -> str:
    """What is wrong with a refusal."""
    if wrong := find_line_fault(message):
        return wrong
    return "" if any(part in message for part in names(command)) else "it names no setting"


def find_line_fault(message: str) -> str:
    """Why a refusal of anything is not one clear line; empty if it is."""
    if "\n" in message or not message.strip():
        return "it is not one line"
    if len(message) > 2000:
        return "it is longer than a line that is read"
    return "it is a traceback" if "Traceback" in message else ""


def names(command: list[str]) -> Iterator[str]:
    """What a refusal may call the settings of a command by."""
    for item in command:
        path, _, value = item.lstrip("+~").partition("=")
        path = path.split("@")[0].replace("/", ".")
        yield path
        if len(value) > 3:
            yield value.strip("'")
        parts = path.split(".")
        yield from (".".join(parts[:stop]) for stop in range(2, len(parts)))
        yield parts[-1]
        if item.startswith("~") and len(parts) > 1:
            yield ".".join(parts[:-1])  # what lacks it now
