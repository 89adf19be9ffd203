"""How much of a plan's texts is cut, told before anything trains of a split that is there."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kvdistill import manifest
from kvdistill.config.build import build_node
from kvdistill.data.collate import TextDataset
from kvdistill.data.split import read_split_part
from kvdistill.data.tokenise import Tokeniser
from kvdistill.geometry import Geometry
from kvdistill.models import load

PARTS = ("train_student", "val")
"""What a student is trained on, and what it is validated on."""


def measure_all(requests: Sequence[Mapping[str, Any]]) -> list[dict[str, dict[str, int]]]:
    """For each request, by part of the split, the numbers of `Truncation`; JSON both ways.

    A request is {"student": its config node, "style", "seq_len", "split": the folder, "model": the
    folder of a student that the project has built, or null}.
    """
    return [measure_request(request) for request in requests]


def measure_request(request: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """The numbers of one request. Raises ArtifactError for a split that is not as it was built."""
    manifest.verify_artifact(Path(request["split"]))
    tokeniser = open_tokeniser(request)
    style, split = build_node("style", request["style"]), Path(request["split"])
    numbers = {}
    for part in PARTS:
        records = read_split_part(split, part)
        texts = [text for record in records for text in style.render(record, tokeniser.tokenizer)]
        dataset = TextDataset(texts, tokeniser, {}, None, request["seq_len"])
        numbers[part] = asdict(dataset.measure_truncation())
    return numbers


def open_tokeniser(request: Mapping[str, Any]) -> Tokeniser:
    """The student's tokenizer, made from the split where the student is not built yet."""
    node, folder = request["student"], request["model"]
    if "build" in node and folder is None:
        maker = build_node("student.build", node["build"])
        made = maker.make_tokenizer(Geometry.from_node(node), Path(request["split"]))
        return Tokeniser(made, "student")
    return Tokeniser(load.load_tokenizer(node, "student", folder and Path(folder)), "student")
