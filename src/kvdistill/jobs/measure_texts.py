"""What can be told of a plan's texts before anything trains, where a split is there.

How many of them are cut, and how much of what a student computes of them is padding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kvdistill import manifest
from kvdistill.config.build import build_node
from kvdistill.data.collate import TextDataset
from kvdistill.data.packing import Packing, compute_real_share
from kvdistill.data.sampler import ResumableSampler
from kvdistill.data.split import read_split_part
from kvdistill.data.tokenise import Tokeniser
from kvdistill.geometry import Geometry
from kvdistill.models import load

PARTS = ("train_student", "val")
"""What a student is trained on, and what it is validated on."""
STEPS_MEASURED = 64
"""Steps of the order, at most, over which the share of real tokens is taken."""


def measure_all(requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each request {"parts", "real_share"}; JSON both ways.

    "parts" are, by part of the split, the numbers of `Truncation`; "real_share" is what
    `measure_real_share` gives.

    A request is {"student": its config node, "style", "seq_len", "split": the folder, "model": the
    folder of a student that the project has built, or null, "batches": {"batch_size",
    "global_batch", "group_by_length", "packing"}}.
    """
    return [measure_request(request) for request in requests]


def measure_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to one request. Raises ArtifactError for a split that is not as it was built."""
    manifest.verify_artifact(Path(request["split"]))
    tokeniser = open_tokeniser(request)
    style, split = build_node("style", request["style"]), Path(request["split"])
    datasets = {}
    for part in PARTS:
        records = read_split_part(split, part)
        texts = [text for record in records for text in style.render(record, tokeniser.tokenizer)]
        datasets[part] = TextDataset(texts, tokeniser, {}, None, request["seq_len"])
    return {
        "parts": {part: asdict(texts.measure_truncation()) for part, texts in datasets.items()},
        "real_share": measure_real_share(datasets[PARTS[0]], **request["batches"]),
    }


def measure_real_share(
    texts: TextDataset, batch_size: int, global_batch: int, group_by_length: bool, packing: bool
) -> dict[str, float]:
    """Share of the tokens that a student computes in training which are a text's own.

    "share" as the settings have it, "packed" as `train.packing=true` would. Over the first steps of
    one order: other seeds differ in the third digit.
    """
    order = ResumableSampler(
        len(texts),
        min(STEPS_MEASURED * global_batch, max(len(texts), global_batch)),
        seed=0,
        lengths=texts.byte_lengths if group_by_length else None,
        batch_size=global_batch,
    )
    lengths = texts.token_lengths
    read = [lengths[text] for text in order]
    batches = [read[start : start + batch_size] for start in range(0, len(read), batch_size)]
    return {
        "share": compute_real_share(batches, Packing() if packing else None),
        "packed": compute_real_share(batches, Packing()),
    }


def open_tokeniser(request: Mapping[str, Any]) -> Tokeniser:
    """The student's tokenizer, made from the split where the student is not built yet."""
    node, folder = request["student"], request["model"]
    if "build" in node and folder is None:
        maker = build_node("student.build", node["build"])
        made = maker.make_tokenizer(Geometry.from_node(node), Path(request["split"]))
        return Tokeniser(made, "student")
    return Tokeniser(load.load_tokenizer(node, "student", folder and Path(folder)), "student")
