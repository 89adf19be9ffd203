"""reproduce.json: all that makes the run again, and what it must then come out as."""

from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.files import hashes, read_json
from kvdistill.redact import redact_secrets
from kvdistill.report.publish.published_run import PublishedRun

OF_THIS_MACHINE = ("root", "cluster", "status", "report", "evaluate", "trust", "estimate")
"""Of a recipe: where and how it ran, which is no part of what is made."""


def make_reproduction(run: PublishedRun) -> dict[str, Any]:
    """Commands, settings, code, packages, data and hashes of the files of the model.

    The commands are those that its study was asked with, as they were typed; the run is theirs of
    this identity. Secrets are masked.
    """
    plan = read_json(run.folder.parents[1] / layout.PLAN)
    provenance = run.manifest["provenance"]
    return {
        "schema_version": run.manifest["schema_version"],
        "run": run.folder.name,
        "arm": run.manifest["arm"],
        "seed": run.manifest["seed"],
        "commands": [redact_secrets(command) for command in plan.get("commands", [])],
        "recipe": {k: v for k, v in run.recipe.items() if k not in OF_THIS_MACHINE},
        "needs": run.manifest["needs"],
        "code": run.manifest.get("code"),
        "git_commit": provenance.get("git_commit"),
        "git_dirty": provenance.get("git_dirty"),
        "python": provenance["python"],
        "packages": provenance["packages"],
        "processor": provenance["processor"],
        "device": run.results["efficiency"]["device"],
        "data_sha256": run.results["data_sha256"],
        "model_sha256": list_model_hashes(run.folder / layout.MODEL),
    }


def list_model_hashes(model: Path) -> dict[str, str]:
    """Of every file but the card, which is written anew."""
    return hashes(model, but={"README.md"})
