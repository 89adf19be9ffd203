"""The folder that is published: model, card, and the scores in the forms that others read."""

import shutil
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.constants import EVAL_RESULTS_FOLDER

from kvdistill import layout
from kvdistill.files import write_json, write_text
from kvdistill.report.model_card import format_scores_block
from kvdistill.report.publish.eval_results import make_eval_results
from kvdistill.report.publish.every_eval_ever import make_every_eval_ever
from kvdistill.report.publish.lm_eval_results import make_lm_eval_results
from kvdistill.report.publish.published_run import PublishedRun, list_hub_names
from kvdistill.report.publish.reproduce import make_reproduction

LM_EVAL = "results/lm_eval.json"
EVERY_EVAL_EVER = "results/every_eval_ever.json"
REPRODUCE = "results/reproduce.json"


def write_published_folder(run: PublishedRun, output: Path, repository: str | None) -> Path:
    """Writes `output` anew and returns it; the run's own folder stays as it is sealed.

    Weights are linked where the disk allows it, so that they are not there twice.
    """
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    for path in sorted((run.folder / layout.MODEL).rglob("*")):
        if path.is_file() and path.name != "README.md":
            link_or_copy(path, output / path.relative_to(run.folder / layout.MODEL))
    for task, entries in make_eval_results(run).items():
        text = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
        write_text(output / EVAL_RESULTS_FOLDER / f"{task}.yaml", text)
    write_json(output / LM_EVAL, make_lm_eval_results(run))
    write_json(output / EVERY_EVAL_EVER, make_every_eval_ever(run, repository))
    write_json(output / REPRODUCE, make_reproduction(run))
    write_text(output / "README.md", make_card(run))
    return output


def link_or_copy(source: Path, target: Path) -> None:
    """A second name of weights; a copy of the rest, and where the file system has no links.

    Who edits a settings file of the published folder must not edit the run.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if source.suffix == ".safetensors":
            target.hardlink_to(source)
            return
    except OSError:
        pass
    shutil.copyfile(source, target)


def make_card(run: PublishedRun) -> str:
    """README.md: what it is, how it was trained, its scores, and where the rest of it stands."""
    students = list_hub_names(run.recipe["student"])
    head: dict[str, Any] = {"base_model": students[0]} if students else {}
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["kvdistill", "knowledge-distillation"],
        datasets=list_hub_names(run.recipe["data"]) or None,
        **head,
    )
    teachers = [str(node["name"]) for node in run.recipe["teachers"].values()]
    taught = f", taught by {' and '.join(teachers)}" if teachers else ""
    lines = [
        f"# {run.name}",
        f"{run.recipe['student']['name']}{taught}: arm `{run.recipe['arm']}` of a kvdistill study, "
        f"seed {run.recipe['seed']}, {run.manifest['ledger']['steps']} steps. One run: how far "
        "other seeds lie from it stands in the study's report.",
        format_scores_block(run.results).rstrip("\n"),
        f"## Files\n\n`{EVAL_RESULTS_FOLDER}/` has the scores that compare on the hub, where there "
        f"are any, `{LM_EVAL}` all of them as lm-evaluation-harness writes them, "
        f"`{EVERY_EVAL_EVER}` as a record of Every Eval Ever, and `{REPRODUCE}` commands, "
        "settings, code, packages and hashes: what makes this run again.",
    ]
    body = "\n\n".join(lines)
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}\n"))
