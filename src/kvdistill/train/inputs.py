"""Models and texts of a run, opened from its config and the artefacts it needs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from kvdistill.alignment.base import Alignment
from kvdistill.config.build import build_node
from kvdistill.config.compose import Config
from kvdistill.data import split
from kvdistill.data.collate import Collator, Texts
from kvdistill.data.sampler import evenly
from kvdistill.data.tokenise import Tokeniser
from kvdistill.files import read_json
from kvdistill.kv.base import TeacherKV, TeacherRequest
from kvdistill.kv.online import Online
from kvdistill.layers.base import LayerPair
from kvdistill.models import load
from kvdistill.plan import identity
from kvdistill.plan.graph import find_store_spec
from kvdistill.plan.identity import hash_science
from kvdistill.train.objective import Reader

MANIFEST = "manifest.json"
STORED_PARTS = ("train_student", "val")
"""What a store holds: what is trained on, and what curves and agreement read."""

Needs = Mapping[str, Path]
"""Role -> folder of the artefact that a job reads."""


def tokeniser(node: Mapping[str, Any], role: str, needs: Needs) -> Tokeniser:
    """The tokenizer of the model in that role."""
    return Tokeniser(load.load_tokenizer(node, role, needs.get(role)), role)


def texts(
    config: Config,
    needs: Needs,
    part: str,
    alignment: Alignment | None,
    most: int | None = None,
) -> tuple[Texts, Collator]:
    """A part of the split as the student and the teachers read it.

    `most` texts of it, evenly spread, where only so many are wanted.
    """
    own = tokeniser(config["student"], "student", needs)
    known = {told(own): own}
    theirs = {}
    for name, node in config["teachers"].items():
        reader = tokeniser(node, f"teacher.{name}", needs)
        theirs[name] = known.setdefault(told(reader), reader)
    style = build_node("style", config["style"])
    records = split.read(needs["split"]).parts()[part]
    rendered = [text for record in records for text in style.render(record, own.tokenizer)]
    if most is not None:
        rendered = [rendered[row] for row in evenly(len(rendered), most)]
    found = Texts(rendered, own, theirs, alignment, config["budget"]["seq_len"])
    return found, Collator(own.pad, {name: reader.pad for name, reader in theirs.items()})


def student(config: Config, needs: Needs) -> PreTrainedModel:
    """The raw student, with its head."""
    return load.load_model(config["student"], "student", needs.get("student"))


def teacher(config: Config, name: str, needs: Needs, reader: Reader) -> TeacherKV:
    """Where a run takes that teacher's K and V from."""
    found: TeacherKV = build_node(
        "source", config["source"], wanted=wanted(config, name, needs, reader)
    )
    return found


def itself(config: Config, name: str, needs: Needs, reader: Reader) -> TeacherKV:
    """The teacher as it is, whatever the source: what is calibrated on."""
    return Online(wanted(config, name, needs, reader))


def wanted(config: Config, name: str, needs: Needs, reader: Reader) -> TeacherRequest:
    """What every source is built from; loads no weights."""
    node, role = config["teachers"][name], f"teacher.{name}"
    store = needs.get(f"kv.{name}")
    deepest = max(source.high for source in reader.sources)
    return TeacherRequest(
        load_body=lambda: load.load_body(node, role, needs.get(role), deepest),
        layer_pairs=reader.sources,
        compression=reader.compression,
        needs_rotary=reader.position.needs_rotary,
        store_folder=store,
        fingerprints={} if store is None else prints(config, name, needs, reader.sources),
    )


def prints(config: Config, name: str, needs: Needs, sources: Sequence[LayerPair]) -> dict[str, str]:
    """What a teacher's store is made of, each told by content: equal, or another store."""
    node, role = config["teachers"][name], f"teacher.{name}"
    files = read_json(needs[role] / MANIFEST)["files"] if role in needs else {}
    split_files = read_json(needs["split"] / MANIFEST)["files"]
    spec = find_store_spec(config["source"])
    assert spec is not None
    reads = {
        "split": {part: split_files[f"{part}.jsonl"] for part in STORED_PARTS},
        "style": spec["style"],
        "seq_len": config["budget"]["seq_len"],
        "student": told(tokeniser(config["student"], "student", needs)),
    }
    return {
        "weights": hash_science({"recipe": identity.model_science(node), "files": files}),
        "tokenizer": told(tokeniser(node, role, needs)),
        "texts": hash_science(reads),
        "layers": hash_science([[s.student_layer, s.low, s.high, s.weight] for s in sources]),
        "compression": hash_science(config["compression"]),
        "dtype": str(spec["dtype"]),
        "code version": str(identity.CAPTURE_VERSION),
    }


def told(tokeniser: Tokeniser) -> str:
    """A tokenizer by content."""
    return hash_science(
        {"tokenizer": tokeniser.tokenizer.backend_tokenizer.to_str(), "eos": tokeniser.eos}
    )
