"""Raw lines of the bench as the tables of docs/benchmarks.md."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.gpu.cases import CASES
from tests.bench.gpu.goals import GOALS, Record, Records, compute_mfu, judge_goals

GIB = 2**30


def read_records(path: Path) -> dict[str, Record]:
    """Case -> its last line: a case that was measured again counts as it was then."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line["case"]: line for line in map(json.loads, filter(None, lines))}


def render_tables(records: Records) -> str:
    """Machine, steps, correctness and goals as markdown."""
    parts = [describe_machine(records["machine"]), render_steps(records)]
    if correctness := render_correctness(records):
        parts.append(correctness)
    return "\n\n".join([*parts, render_goals(records)]) + "\n"


def describe_machine(machine: Record) -> str:
    """One sentence: card, driver and versions."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    size = "tiny models" if machine["tiny"] else "models of true shape"
    return f"Machine: {machine['card']}, driver {machine['driver']}; {versions}; {size}, drawn."


def render_steps(records: Records) -> str:
    """A row a case that has steps, or why it has none."""
    head = ("case", "s a step", "real tokens/s", "MFU", "peak, GiB", "plan, GiB", "rooms")
    rows = [list_cells(records, name) for name in CASES if name in records]
    return render_table(head, [row for row in rows if row])


def list_cells(records: Records, name: str) -> list[str]:
    """The cells of a case; none for one that has no steps."""
    record = records[name]
    if CASES[name].part == "correctness":
        return []
    if record["status"] != "measured":
        return [f"`{name}`", f"{record['status']}: {record['why']}", *[""] * 5]
    step_s = record["step_s"]
    return [
        f"`{name}`",
        f"{step_s:.4f}",
        f"{record['student_tokens'] / step_s:,.0f}",
        format_share(compute_mfu(records, name)),
        format_gib(record.get("peak_bytes")),
        format_gib(record.get("plan_bytes")),
        format_share(record.get("rooms_share")),
    ]


def render_correctness(records: Records) -> str:
    """Each quantity's noise in both precisions."""
    record = records.get("correctness", {"status": "not measured"})
    if record["status"] != "measured":
        return ""
    kinds = [name.removeprefix("fp32_") for name in record if name.startswith("fp32_")]
    rows = [
        [kind.replace("_", " "), *(f"{record[f'{p}_{kind}']:.1e}" for p in ("fp32", "bf16"))]
        for kind in kinds
    ]
    return render_table(("against float32 on the CPU", "float32", "bfloat16"), rows)


def render_goals(records: Records) -> str:
    """Each goal with its figure."""
    rows = []
    for name, (figure, met) in judge_goals(records).items():
        goal = GOALS[name]
        bound = f"≤ {goal.at_most:g}" if goal.at_most is not None else f"≥ {goal.at_least:g}"
        verdict = {True: "pass", False: "falls short", None: "not measured"}[met]
        rows.append([goal.title, "" if figure is None else f"{figure:.3g}", bound, verdict])
    return render_table(("goal", "measured", "bound", ""), rows)


def render_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of markdown."""

    def lines() -> Iterator[str]:
        yield "| " + " | ".join(head) + " |"
        yield "| " + " | ".join("---" for _ in head) + " |"
        for row in rows:
            yield "| " + " | ".join(row) + " |"

    return "\n".join(lines())


def format_share(share: float | None) -> str:
    """In percent."""
    return "" if share is None else f"{100 * share:.1f} %"


def format_gib(count: int | None) -> str:
    """Bytes in GiB."""
    return "" if count is None else f"{count / GIB:.1f}"
