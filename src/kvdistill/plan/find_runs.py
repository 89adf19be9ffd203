"""report.runs=[A,B,...]: finished runs of any study beside each other, the first as baseline."""

from collections.abc import Sequence
from pathlib import Path

from kvdistill.errors import ConfigError
from kvdistill.files import is_complete, read_sealed, write_json
from kvdistill.plan.freeze import thaw
from kvdistill.records import SCHEMA_VERSION


def study_of(root: Path, names: Sequence[str]) -> Path:
    """A study's folder whose one question is how these runs differ. Raises ConfigError."""
    if len(set(names)) < 2:
        raise ConfigError(f"report.runs={list(names)} must name at least two different runs.")
    runs, arms = {}, {}
    for name in names:
        folder = finished(root, name, "report.runs")
        recipe = thaw(folder).recipe
        identity = folder.name.rpartition("-")[2]
        runs[identity] = {
            "folder": str(folder.relative_to(root)),
            "arm": recipe["arm"],
            "seed": recipe["seed"],
            "recipe": identity,
            "trained": recipe["trained"],
            "steps": read_sealed(folder / "manifest.json").get("ledger", {}).get("steps", 0),
        }
        arms[f"{recipe['arm']} {folder.name}"] = {str(recipe["seed"]): identity}
    study = root / "runs" / f"compared-{'-'.join(runs)}"
    asked = {"question": "How far apart are these runs?", "arms": arms}
    plan = {"study": study.name, "questions": {"runs": asked}, "references": {}, "runs": runs}
    write_json(study / "plan.json", {"schema_version": SCHEMA_VERSION, **plan})
    return study


def finished(root: Path, name: str, setting: str) -> Path:
    """The folder of a finished run of any study, by its name or identity. Raises ConfigError."""
    folders = [f for f in root.glob("runs/*/runs/*") if f.is_dir() and is_complete(f)]
    found = [f for f in folders if name in (f.name, f.name.rpartition("-")[2])]
    if not found:
        known = sorted(f.name for f in folders)
        raise ConfigError(
            f"{setting}={name} is no finished run below {root}/runs. "
            f"Finished: {', '.join(known[:12]) or 'none'}{' ...' if len(known) > 12 else ''}."
        )
    return found[0]
