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
from kvdistill.train.objective import TeacherPipeline
from kvdistill.train.step import align_teacher_kv, link_teacher_kv, make_positions
from kvdistill.types import Batch

BATCH = 16
"""Texts read at once; the sums do not depend on it beyond rounding."""


def build_calibration(
    recipe: Mapping[str, Any],
    needs: Mapping[str, Path],
    folder: Path,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Writes calibration.safetensors; returns how many texts and tokens it rests on.

    Where the teacher is sharded every rank calls this and reads the same batches; rank 0 writes.
    """
    config = dict(recipe)
    pipeline = TeacherPipeline.from_config(config, Geometry.from_node(config["teachers"][ONLY]))
    texts, collate = inputs.read_texts(config, needs, "train_teachers", pipeline.alignment)
    fit_count = config["train"]["calibration_rows"]
    held_out_count = max(fit_count // 4, 2)
    rows = evenly(len(texts), fit_count + held_out_count)
    measure = MomentCollector(config, needs, pipeline)
    chunks = [
        *iterate_chunks("fit", rows[:-held_out_count]),
        *iterate_chunks("held_out", rows[-held_out_count:]),
    ]
    for done, (part, chunk) in enumerate(chunks):
        measure(collate([texts[row] for row in chunk]), part)
        progress(done + 1, len(chunks))
    if distributed.is_rank_zero():
        Calibration(**measure.moments).save(folder)
    return {"texts": len(rows), "fit_tokens": measure.tokens}


class MomentCollector:
    """Reads batches with both models and sums their aligned K and V up."""

    def __init__(
        self, config: Config, needs: Mapping[str, Path], pipeline: TeacherPipeline
    ) -> None:
        self.pipeline = pipeline
        self.teacher = inputs.build_online_teacher(config, ONLY, needs, pipeline)
        self.device = distributed.get_local_device()
        self.student = inputs.load_student(config, needs).eval().to(self.device)
        layers = [source.student_layer for source in pipeline.layer_pairs]
        self.kv_capture = Capture(self.student, layers)
        turning = pipeline.position.needs_rotary
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
        with self.kv_capture:
            self.student(input_ids=tokens.ids, attention_mask=tokens.mask.long(), use_cache=False)
        student_layers = self.kv_capture.pop_layers(tokens)
        position, teacher_rotaries = self.pipeline.position, self.teacher.rotaries
        others, paired = choose_partners(batch.ids)
        for layer_pair, teacher_kvs in [
            pair
            for kept, links in link_teacher_kv(self.teacher, batch, ONLY)
            for pair in align_teacher_kv(kept, links, position, teacher_rotaries)
        ]:
            student_kv = student_layers[layer_pair.student_layer].kv
            keys = self.pipeline.position.rotate_source(
                student_kv.keys,
                self.rotaries[layer_pair.student_layer],
                make_positions(student_kv.keys),
            )
            mask = teacher_kvs[0].mask & student_kv.mask
            pairs = (
                ([kv.keys for kv in teacher_kvs], keys),
                ([kv.values for kv in teacher_kvs], student_kv.values),
            )
            for name, (x, y) in enumerate(pairs):
                wide = torch.cat([merge_heads(each) for each in x], dim=2)
                self.add_rows(
                    part, layer_pair.student_layer, name, wide[mask], merge_heads(y)[mask]
                )
                if part == "held_out":
                    both = mask & mask[others] & paired[:, None].to(mask.device)
                    self.add_rows(
                        "shuffled",
                        layer_pair.student_layer,
                        name,
                        wide[others][both],
                        merge_heads(y)[both],
                    )
        self.tokens += int(mask.sum()) if part == "fit" else 0

    def add_rows(self, part: str, layer: int, name: int, x: Tensor, y: Tensor) -> None:
        """Sums rows up; `name` is 0 for keys, 1 for values."""
        if layer not in self.moments[part]:
            width = x.shape[1], y.shape[1]
            self.moments[part][layer] = (Moments.empty(*width), Moments.empty(*width))
        self.moments[part][layer][name].add(x, y)


def merge_heads(x: Tensor) -> Tensor:
    """(batch, heads, seq, dim) as (batch, seq, heads * dim)."""
    return x.transpose(1, 2).flatten(2)


def iterate_chunks(part: str, rows: Sequence[int]) -> Iterator[tuple[str, Sequence[int]]]:
    """Batches of rows."""
    for start in range(0, len(rows), BATCH):
        yield part, rows[start : start + BATCH]
