"""What a search may look at: the validation lines of every run of a study, and nothing else.

    python launch.py sweep=NAME study=search tasks=quick train.eval_items=40 train.eval_tasks=6
    python -m tests.bench.search runs/search

A row an arm, means over its seeds at the last step: cross-entropy on held-out answers, accuracy on
validation rows (exact matches, and the tasks' macro average), KV loss. Sorted by the macro average.
Test items are never opened, so that a setting chosen here can still be confirmed on them.
"""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from kvdistill.stats.curves import read_curves

COLUMNS = {"macro": 100.0, "exact_match": 100.0, "ce": 1.0, "kv": 1.0}
"""Of curves.jsonl, and what each is shown times."""


def main() -> int:
    """Prints a table of every arm of the studies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, nargs="+")
    runs = pd.concat([gather_last_lines(folder) for folder in parser.parse_args().study])
    shown = summary(runs)
    table = Table("arm", "seeds", *(f"val {name}" for name in COLUMNS))
    for arm, row in shown.iterrows():
        cells = [f"{row[name, 'mean']:.3f} ± {row[name, 'std']:.3f}" for name in COLUMNS]
        table.add_row(str(arm), str(int(row["ce", "count"])), *cells)
    Console(width=160).print(table)
    return 0


def gather_last_lines(study: Path) -> pd.DataFrame:
    """One row a run that has trained to its end: its arm, and its last validation line."""
    plan = json.loads((study / "plan.json").read_text(encoding="utf-8"))
    root = study.resolve().parent.parent
    rows = []
    for question in plan["questions"].values():
        for label, seeds in question["arms"].items():
            for seed, identity in seeds.items():
                folder = root / plan["runs"][identity]["folder"]
                lines = read_curves(folder / "curves.jsonl")
                lines = lines[lines["split"] == "val"]
                if (folder / "manifest.json").is_file() and len(lines):
                    last = lines.sort_values("step").iloc[-1].reindex(COLUMNS)
                    rows.append({"arm": label, "seed": seed, **(last * pd.Series(COLUMNS))})
    return pd.DataFrame(rows, columns=["arm", "seed", *COLUMNS])


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Arms by their mean macro average, best first; NaN where a column was never measured."""
    numbers = runs.astype(dict.fromkeys(COLUMNS, "float64"))
    table = numbers.groupby("arm")[list(COLUMNS)].agg(["mean", "std", "count"])
    return table.sort_values([("macro", "mean"), ("ce", "mean")], ascending=[False, True])


if __name__ == "__main__":
    sys.exit(main())
