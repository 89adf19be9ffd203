"""The evaluation block of an exported student's model card, in the hub's `model-index` format.

Called by a run before its manifest is written: afterwards its files are sealed.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kvdistill import layout
from kvdistill.files import read_json, write_text

BLOCK_START = "<!-- kvdistill:evaluation -->"
BLOCK_END = "<!-- /kvdistill:evaluation -->"


def write_model_card(folder: Path) -> Path | None:
    """Puts results.json into model/README.md of a run folder; None where no student is exported.

    What else stands in the card is kept; called again, it replaces its own block.
    """
    model = Path(folder) / layout.MODEL
    if not model.is_dir():
        return None
    results = read_json(Path(folder) / layout.RESULTS)
    path = model / "README.md"
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    text = replace_model_index(old, make_model_index(Path(folder).name, results))
    block = format_scores_block(results)
    if BLOCK_START in text and BLOCK_END in text:
        before, rest = text.split(BLOCK_START, 1)
        text = before + block + rest.split(BLOCK_END, 1)[1].lstrip("\n")
    else:
        text = text.rstrip("\n") + "\n\n" + block
    # An unchanged card keeps its time of change: a job that is done again touches nothing.
    if text != old:
        write_text(path, text)
    return path


def make_model_index(name: str, results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """model-index: one result a task, and the macro average where no task is missing."""
    entries = [
        make_index_entry(task, scores.get("metric") or "accuracy", scores["score"], scores["n"])
        for task, scores in results["tasks"].items()
    ]
    if results.get("macro") is not None:
        total = sum(scores["n"] for scores in results["tasks"].values())
        entries.append(make_index_entry("macro average", "accuracy", results["macro"], total))
    return [{"name": name, "results": entries}]


def make_index_entry(task: str, metric: str, score: float, n: int) -> dict[str, Any]:
    """One entry of `results`: a score in [0, 1] becomes percent."""
    return {
        "task": {"type": "text-generation", "name": "Text Generation"},
        "dataset": {"name": task, "type": task.replace(" ", "_"), "split": "test"},
        "metrics": [
            {"type": metric, "value": round(100 * score, 2), "name": f"{metric}, {n} items"}
        ],
    }


def replace_model_index(text: str, block: list[dict[str, Any]]) -> str:
    """The card with `model-index` in its YAML head, the rest of the head kept."""
    front_matter = re.match(r"---\n(.*?)\n---\n", text, flags=re.DOTALL)
    head = yaml.safe_load(front_matter.group(1)) if front_matter else {}
    body = text[front_matter.end() :] if front_matter else text
    # An empty head reads as None.
    fields = {**(head or {}), "model-index": block}
    dumped = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
    return f"---\n{dumped}---\n{body}"


def format_scores_block(results: Mapping[str, Any]) -> str:
    """The scores as a Markdown table, between the marks that a later call looks for."""
    rows = [
        f"| {task} | {100 * s['score']:.1f} | {s['n']} | {100 * (s.get('unparsed') or 0):.1f} |"
        f" {100 * (s.get('truncated') or 0):.1f} |"
        for task, s in results["tasks"].items()
    ]
    macro = results.get("macro")
    rows.append(
        f"| macro average | {f'{100 * macro:.1f}' if macro is not None else 'missing'} | | | |"
    )
    head = "| task | score, % | items | no answer found, % | cut off, % |\n"
    head += "| :--- | ---: | ---: | ---: | ---: |"
    return f"{BLOCK_START}\n## Evaluation\n\n{head}\n" + "\n".join(rows) + f"\n{BLOCK_END}\n"
