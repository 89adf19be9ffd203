"""Measures one teacher against the raw student on rows of the teachers' half, before training.

Three sets of moments: rows to fit on, other rows to judge the fit on, and those again with each
student text facing another text's teacher: a fit that also explains these explains nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kvdistill import distributed
from kvdistill.config.compose import Config
from kvdistill.data.sampler import evenly
from kvdistill.geometry import Geometry
from kvdistill.kv.calibration import Calibration, LayerMoments
from kvdistill.kv.moments import Moments
from kvdistill.kv.rotary import NO_ROTATION, read_rotaries
from kvdistill.kv.shuffle_pairs import choose_partners
from kvdistill.models.capture import Capture
from kvdistill.plan.graph import ONLY
from kvdistill.train import inputs
from kvdistill.train.objective import Reader
from kvdistill.train.step import aligned, linked, positions_of
from kvdistill.types import Batch

BATCH = 16
"""Texts read at once; the sums do not depend on it beyond rounding."""


def build(
    recipe: Mapping[str, Any],
    needs: Mapping[str, Path],
    folder: Path,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Writes calibration.safetensors; returns how many texts and tokens it rests on.

    Where the teacher is sharded every rank calls this and reads the same batches; rank 0 writes.
    """
    config = dict(recipe)
    reader = Reader.of(config, Geometry.from_node(config["teachers"][ONLY]))
    texts, collate = inputs.texts(config, needs, "train_teachers", reader.alignment)
    wanted = config["train"]["calibration_rows"]
    judged = max(wanted // 4, 2)
    rows = evenly(len(texts), wanted + judged)
    measure = Measure(config, needs, reader)
    chunks = [*chunked("fit", rows[:-judged]), *chunked("held_out", rows[-judged:])]
    for done, (part, chunk) in enumerate(chunks):
        measure(collate([texts[row] for row in chunk]), part)
        progress(done + 1, len(chunks))
    if distributed.is_rank_zero():
        Calibration(**measure.moments).save(folder)
    return {"texts": len(rows), "fit_tokens": measure.tokens}


class Measure:
    """Reads batches with both models and sums their aligned K and V up."""

    def __init__(self, config: Config, needs: Mapping[str, Path], reader: Reader) -> None:
        self.reader = reader
        self.teacher = inputs.itself(config, ONLY, needs, reader)
        self.device = distributed.get_local_device()
        self.student = inputs.student(config, needs).eval().to(self.device)
        layers = [source.student_layer for source in reader.sources]
        self.capture = Capture(self.student, layers)
        turning = reader.position.needs_rotary
        self.rotaries = (
            read_rotaries(self.student, layers) if turning else dict.fromkeys(layers, NO_ROTATION)
        )
        self.moments: dict[str, LayerMoments] = {"fit": {}, "held_out": {}, "shuffled": {}}
        self.tokens = 0

    @torch.no_grad()
    def __call__(self, batch: Batch, part: str) -> None:
        """Counts a batch into `part`; held-out batches into `shuffled` as well."""
        batch = batch.to(self.device)
        tokens = batch.student
        with self.capture:
            self.student(input_ids=tokens.ids, attention_mask=tokens.mask.long(), use_cache=False)
        own = self.capture.pop_layers(tokens)
        position, turns = self.reader.position, self.teacher.rotaries
        others, paired = choose_partners(batch.ids)
        for source, theirs in [
            pair
            for kept, links in linked(self.teacher, batch, ONLY)
            for pair in aligned(kept, links, position, turns)
        ]:
            mine = own[source.student_layer].kv
            keys = self.reader.position.rotate_source(
                mine.keys, self.rotaries[source.student_layer], positions_of(mine.keys)
            )
            mask = theirs[0].mask & mine.mask
            pairs = (
                ([kv.keys for kv in theirs], keys),
                ([kv.values for kv in theirs], mine.values),
            )
            for name, (x, y) in enumerate(pairs):
                wide = torch.cat([flat(each) for each in x], dim=2)
                self.add(part, source.student_layer, name, wide[mask], flat(y)[mask])
                if part == "held_out":
                    both = mask & mask[others] & paired[:, None].to(mask.device)
                    self.add(
                        "shuffled", source.student_layer, name, wide[others][both], flat(y)[both]
                    )
        self.tokens += int(mask.sum()) if part == "fit" else 0

    def add(self, part: str, layer: int, name: int, x: Tensor, y: Tensor) -> None:
        """Sums rows up; `name` is 0 for keys, 1 for values."""
        if layer not in self.moments[part]:
            width = x.shape[1], y.shape[1]
            self.moments[part][layer] = (Moments.empty(*width), Moments.empty(*width))
        self.moments[part][layer][name].add(x, y)


def flat(x: Tensor) -> Tensor:
    """(batch, heads, seq, dim) as (batch, seq, heads * dim)."""
    return x.transpose(1, 2).flatten(2)


def chunked(part: str, rows: Sequence[int]) -> Iterator[tuple[str, Sequence[int]]]:
    """Batches of rows."""
    for start in range(0, len(rows), BATCH):
        yield part, rows[start : start + BATCH]
