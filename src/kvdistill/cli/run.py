"""The stages of launch.py."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from kvdistill.cli import data, status
from kvdistill.cli import fetch as download
from kvdistill.cli import why as reasons
from kvdistill.cluster import forkserver, local, run_module
from kvdistill.cluster.retold import retold
from kvdistill.cluster.submit import special, submit
from kvdistill.config.cluster import Local
from kvdistill.config.compose import Config, compose
from kvdistill.config.schema import typed
from kvdistill.console import Screen
from kvdistill.errors import ConfigError, UserError
from kvdistill.files import is_complete, read_sealed
from kvdistill.plan import find_runs
from kvdistill.plan.expand import Plan, expand
from kvdistill.plan.freeze import freeze, home, places, write_recipe
from kvdistill.plan.graph import ONLY, Node
from kvdistill.plan.world_size import world_size
from kvdistill.stats import preregistration

Overrides = Sequence[Sequence[str]]
console = Screen(width=None if sys.stdout.isatty() else 120)


def run(job_overrides: Overrides, sweeps: Path) -> None:
    """Plans, checks, freezes, does what is missing, and reports."""
    carry_out(expand(job_overrides, sweeps))


def carry_out(plan: Plan) -> None:
    """Checks and freezes a plan, does what is missing of it, and reports."""
    plan.command = retold(sys.argv)
    preregistration.claims(
        plan
    )  # a claim that cannot be judged is refused before anything is written
    console.print(planned(plan))
    todo = [item for item in plan.runs.values() if not is_complete(home(plan, item))]
    if todo:
        check([item.config for item in todo])
    names = {need for item in todo for need in item.node.needs.values()}
    nodes = [node for name, node in plan.artifacts.items() if name in names]
    nodes += [item.node for item in todo]
    if plan.config["cluster"].get("dry_run"):
        rehearse(plan, nodes)
        return
    finish(plan, nodes)


def finish(plan: Plan, nodes: Sequence[Node]) -> None:
    """Does the plan's jobs that are missing, then reports; raises UserError if any failed."""
    folders = freeze(plan)
    preregistration.register(plan, folders)
    failed = submit(plan, nodes, folders, console, report=True)
    if failed is None:
        return
    from kvdistill.report.study_report import conclude  # the report's libraries are slow to import

    conclude(plan.root, plan.root / "runs" / plan.study, plan.config["stats"], console)
    if failed:
        runs = [node for node in nodes if node.kind == "run"]
        lost = sum(node.name in failed for node in runs)
        lines = "; ".join(f"{name}: {why}" for name, why in data.causes(failed).items())
        raise UserError(f"{lost} of {len(runs)} runs failed. {lines}")


def plan(job_overrides: Overrides, sweeps: Path) -> None:
    """Says what a command would do and cost; computes nothing."""
    from kvdistill.cli.plan import show

    found = expand(job_overrides, sweeps)
    console.print(planned(found))
    show(found, console)


def teachers(job_overrides: Overrides, sweeps: Path) -> None:
    """Builds the stores that the runs would read, and what those need; runs nothing.

    Raises ConfigError where no run reads a store.
    """
    plan = expand(job_overrides, sweeps)
    stores = [node for node in plan.artifacts.values() if node.kind == "kv"]
    if not stores:
        raise ConfigError(
            "stage=teachers builds the teachers' stores, but no run here reads one. "
            "Add source=store."
        )
    check([item.config for item in plan.runs.values()])
    names = {name for node in stores for name in (node.name, *node.needs.values())}
    nodes = [node for name, node in plan.artifacts.items() if name in names]
    folders = {node.name: plan.root / "artifacts" / node.name for node in nodes}
    for node in nodes:
        write_recipe(node, folders[node.name])
    failed = submit(plan, nodes, folders, console, report=False)
    if failed is None:
        return
    if failed:
        raise UserError("; ".join(f"{n}: {why}" for n, why in data.causes(failed).items()))
    table = Table("store", "teacher", "texts", "kept tokens", "MB", title="teachers' K and V")
    for node in stores:
        said = read_sealed(folders[node.name] / "manifest.json")
        name = node.recipe["teachers"][ONLY]["name"]
        counts = f"{said['texts']:,}", f"{said['kept_tokens']:,}"
        table.add_row(node.name, name, *counts, f"{said['stored_bytes'] / 1e6:,.1f}")
    console.print(table)


def rehearse(plan: Plan, nodes: Sequence[Node]) -> None:
    """cluster.dry_run=true: prints what would be submitted; writes nothing."""
    from kvdistill.cluster import dry_run  # submitit is slow to import

    settings = typed("cluster", plan.config["cluster"])
    dry_run.show(plan.root, plan.study, settings, nodes, places(plan), special(plan), console)


def doctor(job_overrides: Overrides, sweeps: Path) -> None:
    """Goes through the check list before a study starts; an error, if one check fails."""
    from kvdistill.cli.doctor import run as examine

    examine(job_overrides, sweeps, console)


def status(job_overrides: Overrides, _: Path) -> None:
    """Where every run of a study is."""
    config = asked(job_overrides)
    shown = typed("status", config["status"])
    status.show(Path(config["root"]), study_folder(config), shown, console)


def why(job_overrides: Overrides, sweeps: Path) -> None:
    """Which fields make a run new: that of `run=ID`, or the one that the command describes."""
    config = asked(job_overrides)
    root, name = Path(config["root"]), config["run"]
    if name is not None:
        reasons.show(root, reasons.frozen(root, str(name)), str(name), console)
        return
    plan = expand(job_overrides, sweeps)
    described = next(iter(plan.runs.values()))
    reasons.show(root, described.config, described.identity, console)


def retry(job_overrides: Overrides, _: Path) -> None:
    """Does again what failed of a study, as it was frozen."""
    from kvdistill.cli import retry  # submitit is slow to import

    config = asked(job_overrides)
    plan = retry.plan_of(Path(config["root"]), study_folder(config), config)
    runs = [run.node for run in plan.runs.values()]
    console.print(f"trying again: {', '.join(node.name for node in runs)}", soft_wrap=True)
    names = {need for node in runs for need in node.needs.values()}
    finish(plan, [*(node for name, node in plan.artifacts.items() if name in names), *runs])


def cancel(job_overrides: Overrides, _: Path) -> None:
    """Ends a study's SLURM jobs."""
    from kvdistill.cli import retry  # submitit is slow to import

    config = asked(job_overrides)
    study = study_folder(config)
    ended = retry.cancel(Path(config["root"]), study)
    console.print(f"cancelled {len(ended)} jobs of study {study.name}")


def fetch(job_overrides: Overrides, sweeps: Path) -> None:
    """Downloads what the command's runs need from the hub."""
    download.fetch(expand(job_overrides, sweeps), console)


def asked(job_overrides: Overrides) -> Config:
    """The config of a command about a study, whatever sweep it names."""
    return compose([item for item in job_overrides[0] if not item.startswith("sweep=")])


def report(job_overrides: Overrides, _: Path) -> None:
    """Rebuilds the report of a study, or of several joined, from what lies on disk."""
    from kvdistill.report.study_report import conclude  # the report's libraries are slow to import

    config = compose(list(job_overrides[0]))
    named = config["study"] if isinstance(config["study"], list) else [config["study"]]
    if config["report"]["runs"]:
        studies = [
            find_runs.study_of(Path(config["root"]), list(map(str, config["report"]["runs"])))
        ]
    else:
        studies = [study_folder({**config, "study": name}) for name in dict.fromkeys(named)]
    if not studies:
        raise ConfigError("study=[] names no study. Give at least one, as in study=[A,B].")
    output = config["report"]["output"]
    conclude(
        Path(config["root"]), studies[0], config["stats"], console,
        also=studies[1:], output=None if output is None else Path(output),
    )  # fmt: skip


def study_folder(config: Config) -> Path:
    """runs/STUDY. Raises ConfigError where it does not exist, or where several are named."""
    if isinstance(config["study"], list):
        raise ConfigError(
            f"study={config['study']} names several studies, which only stage=report joins. "
            "Give one."
        )
    folder = Path(config["root"]) / "runs" / str(config["study"] or config["scale"])
    if not (folder / "plan.json").is_file():
        known = sorted(path.parent.name for path in folder.parent.glob("*/plan.json"))
        raise ConfigError(
            f"study={folder.name} has no plan in {folder.parent}/. "
            f"Known studies: {', '.join(known) or 'none'}."
        )
    return folder


def planned(plan: Plan) -> Table:
    """The plan as a table: what will be done, what is reused, equal steps."""
    steps = sorted({item.steps for item in plan.runs.values() if item.config["trained"]})
    title = f"study {plan.study}: {len(plan.runs)} runs"
    if steps:
        title += f", {' or '.join(map(str, steps))} unified steps each"
    table = Table("what", "name", "state", title=title)
    for name, node in plan.artifacts.items():
        there = is_complete(plan.root / "artifacts" / name)
        table.add_row(node.kind, name, "reused" if there else "to build")
    for question, asked in plan.questions.items():
        for label, seeds in asked["arms"].items():
            for identity in dict.fromkeys(seeds.values()):
                item = plan.runs[identity]
                state = "done" if is_complete(home(plan, item)) else "to run"
                table.add_row(f"{question}: {label}", item.node.name, state)
    for teacher, identity in plan.references.items():
        item = plan.runs[identity]
        state = "done" if is_complete(home(plan, item)) else "to run"
        table.add_row(f"reference: {teacher}", item.node.name, state)
    return table


def check(configs: Sequence[Config]) -> None:
    """Builds every distinct arm's rooms, in a process that has torch.

    Raises ConfigError with the first thing a room refuses.
    """
    # Replicates are built of the same parts.
    distinct = list({repr({**config, "seed": 0}): config for config in configs}.values())
    settings = typed("cluster", configs[0]["cluster"])
    if isinstance(settings, Local):  # its jobs come from a process that imports torch anyway
        local.prepare(max(world_size("run", config) for config in configs), settings)
        if why := forkserver.asked("kvdistill.train.preflight", "refused", distinct):
            raise ConfigError(why)
        return
    done = run_module.ask("kvdistill.train.preflight", distinct)
    if done.returncode == 2:
        raise ConfigError(done.stderr.strip().splitlines()[-1])
    if done.returncode != 0:
        raise UserError(f"the plan's check failed: {done.stderr.strip()[-2000:]}")
