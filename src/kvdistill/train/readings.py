"""Models and texts of a run, opened from its config and the artefacts it needs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from kvdistill.alignment.base import Alignment
from kvdistill.config.build import build
from kvdistill.config.compose import Config
from kvdistill.data import split
from kvdistill.data.batch import Collator, Texts
from kvdistill.data.tokenise import Tokeniser
from kvdistill.kv.base import TeacherKV
from kvdistill.kv.online import Online
from kvdistill.models import load
from kvdistill.train.rooms import Reader

Needs = Mapping[str, Path]
"""Role -> folder of the artefact that a job reads."""


def tokeniser(node: Mapping[str, Any], role: str, needs: Needs) -> Tokeniser:
    """The tokenizer of the model in that role."""
    return Tokeniser(load.tokenizer(node, role, needs.get(role)), role)


def texts(
    config: Config,
    needs: Needs,
    part: str,
    alignment: Alignment | None,
) -> tuple[Texts, Collator]:
    """A part of the split as the student and the teachers read it."""
    own = tokeniser(config["student"], "student", needs)
    theirs = {
        name: tokeniser(node, f"teacher.{name}", needs) for name, node in config["teachers"].items()
    }
    style = build("style", config["style"])
    records = split.read(needs["split"]).parts()[part]
    rendered = [text for record in records for text in style.render(record, own.tokenizer)]
    found = Texts(rendered, own, theirs, alignment, config["budget"]["seq_len"])
    return found, Collator(own.pad, {name: reader.pad for name, reader in theirs.items()})


def student(config: Config, needs: Needs) -> PreTrainedModel:
    """The raw student, with its head."""
    return load.model(config["student"], "student", needs.get("student"))


def teacher(config: Config, name: str, needs: Needs, reader: Reader) -> TeacherKV:
    """Where a run takes that teacher's K and V from."""
    found: TeacherKV = build("source", config["source"], **facts(config, name, needs, reader))
    return found


def itself(config: Config, name: str, needs: Needs, reader: Reader) -> TeacherKV:
    """The teacher as it is, whatever the source: what is calibrated on."""
    return Online(**facts(config, name, needs, reader))


def facts(config: Config, name: str, needs: Needs, reader: Reader) -> dict[str, Any]:
    """What every source is built from."""
    role = f"teacher.{name}"
    return {
        "body": load.model(config["teachers"][name], role, needs.get(role), body=True),
        "layers": sorted({layer for source in reader.sources for layer in source.teachers}),
        "attention": reader.compression.needs_attention,
        "rotary": reader.position.needs_rotary,
    }
