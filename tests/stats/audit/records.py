"""Events of a root's record, as commands append them, for studies that are made up."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kvdistill.history import append_event
from kvdistill.stats.hypotheses import hash_claim
from kvdistill.stats.load import load_study
from kvdistill.stats.study import Study
from tests.stats import fake

ARMS = {"sft": 0.0, "kv": 0.1}
TASKS = {"one": 20}
CLAIM = {"name": "F", "text": "It wins", "arm": "kv", "baseline": "sft", "at_least": 0.0}
PRIMARY = {"arm": "kv", "baseline": "sft"}
SETTINGS = {"confidence": 0.95, "looks": 1, "spending": "obrien_fleming"}


def write_study(root: Path, name: str = "s", seeds: Sequence[int] = (42, 43, 44)) -> Path:
    """A finished study of two arms without a record."""
    judged = {"q": {"hypotheses": [CLAIM], "primary": PRIMARY}}
    return fake.write_study(root, {"q": ARMS}, name=name, seeds=seeds, tasks=TASKS, judged=judged)


def record_plan(
    study: Path,
    seeds: Sequence[int] = (42, 43, 44),
    *,
    claims: Sequence[Mapping[str, Any]] = (CLAIM,),
    primary: Mapping[str, Any] = PRIMARY,
    before_record: bool = False,
) -> None:
    """The line that planning these seeds of both arms appends."""
    arms = {
        label: {
            "recipe": fake.short_hash(label)[:12],
            "trained": True,
            "runs": {str(seed): fake.short_hash(f"{label}/{seed}")[:12] for seed in seeds},
        }
        for label in ARMS
    }
    hashed_claims = [dict(claim) | {"sha256": hash_claim(claim)} for claim in claims]
    question = {"text": "?", "primary": dict(primary), "claims": hashed_claims, "arms": arms}
    append_event(
        study.parents[1], study.name, "planned", command="", before_record=before_record,
        questions={"q": question}, claims=[], settings=SETTINGS,
    )  # fmt: skip


def record_look(study: Path, seeds: Sequence[int] = (42, 43, 44), **settings: Any) -> None:
    """The line of a report with these seeds of both arms finished."""
    finished = {fake.short_hash(f"{arm}/{seed}")[:12]: "0" for arm in ARMS for seed in seeds}
    append_event(
        study.parents[1], study.name, "looked", finished=finished, planned=6, states={},
        judged={"q": list(seeds)}, settings=SETTINGS | settings,
    )  # fmt: skip


def load(study: Path) -> Study:
    """The study with the record of its root."""
    return load_study([study])
