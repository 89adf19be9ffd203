"""Measures one teacher's K and V against the raw student's, before training.

On texts of the teachers' half of train, in three sets of moments: `fit`, to fit projections on;
`held_out`, other texts to judge the fit on; `shuffled`, these again with each student text facing
the teacher's K and V of another. A map that also explains `shuffled` explains nothing of a text.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kvdistill import distributed
from kvdistill.config.compose import Config
from kvdistill.data.sampler import deal_to_rank, select_evenly
from kvdistill.geometry import Geometry
from kvdistill.kv.calibration import Calibration, LayerMoments
from kvdistill.kv.missing_heads import (
    append_held,
    compute_held_means,
    compute_held_share,
    fill_with_means,
)
from kvdistill.kv.moments import Moments
from kvdistill.kv.shuffle_pairs import choose_partners
from kvdistill.models.attention.implementation import set_reading_attention
from kvdistill.models.capture import Capture
from kvdistill.plan.graph import ONLY
from kvdistill.train import inputs
from kvdistill.train.objective import TeacherPipeline
from kvdistill.train.step import align_teacher_layers, link_teachers_kv, make_positions
from kvdistill.types import KV, Batch, Tokens

BATCH_TEXTS = 16
"""Texts read at once; the moments do not depend on it beyond rounding."""


def build_calibration(
    recipe: Mapping[str, Any],
    needs: Mapping[str, Path],
    folder: Path,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Writes calibration.safetensors; returns how many texts and tokens were read.

    `fit_tokens` are the student tokens of the last layer that were fitted on. Other layers may have
    others where compression keeps tokens by layer.

    Every rank calls this and reads its share of the batches; their sums are added up once, at the
    end, and rank 0 writes.
    """
    config = dict(recipe)
    pipeline = TeacherPipeline.from_config(config, Geometry.from_node(config["teachers"][ONLY]))
    texts, collate = inputs.read_texts(config, needs, "train_teachers", pipeline.alignment)
    fit_count = config["train"]["calibration_rows"]
    # Two at least: in `shuffled` each faces another one.
    held_out_count = max(fit_count // 4, 2)
    rows = select_evenly(len(texts), fit_count + held_out_count)
    collector = MomentCollector(config, needs, pipeline)
    parts = {"fit": rows[:-held_out_count], "held_out": rows[-held_out_count:]}
    rounds = [
        (part, batch, counts)
        for part, of_part in parts.items()
        for batch, counts in deal_to_rank(split_into_batches(of_part))
    ]
    for done, (part, batch, counts) in enumerate(rounds):
        collector.add_batch(collate([texts[row] for row in batch]), part, counts)
        progress(done + 1, len(rounds))
    collector.sum_over_ranks()
    if distributed.is_rank_zero():
        collector.make_calibration().save(folder)
    keys, _ = collector.moments["fit"][pipeline.layer_pairs[-1].student_layer]
    return {"texts": len(rows), "fit_tokens": int(keys.count)}


class MomentCollector:
    """Reads batches with both models and sums up the moments of their aligned K and V."""

    def __init__(
        self, config: Config, needs: Mapping[str, Path], pipeline: TeacherPipeline
    ) -> None:
        self.pipeline = pipeline
        self.teacher = inputs.build_online_teacher(config, ONLY, needs, pipeline)
        self.device = distributed.get_local_device()
        self.student = inputs.load_student(config, needs).eval().to(self.device)
        set_reading_attention(self.student, config["train"], "student")
        layers = [pair.student_layer for pair in pipeline.layer_pairs]
        self.capture = Capture(self.student, layers)
        self.rotaries = pipeline.read_student_rotaries(self.capture, layers)
        self.moments: dict[str, LayerMoments] = {"fit": {}, "held_out": {}, "shuffled": {}}
        self.heads = 0
        """KV heads of the teacher, where each holds tokens of its own; see kv/missing_heads.py."""

    @torch.no_grad()
    def add_batch(self, batch: Batch, part: str, counts: bool = True) -> None:
        """Counts a batch into `part`, and a held-out batch into `shuffled` as well.

        One that does not count is read all the same, and adds no row.
        """
        batch = batch.to(self.device)
        student_layers = self.capture_student(batch.student)
        position = self.pipeline.position
        partners, has_partner = choose_partners(batch.ids)
        read = self.teacher.read_texts(batch.teachers[ONLY].tokens, batch.ids)
        linked, rotaries = link_teachers_kv({ONLY: read}, batch)[ONLY], read.rotaries
        for pair, teacher_kvs in align_teacher_layers(linked, position, rotaries):
            student = student_layers[pair.student_layer].add_bias()
            teacher_kvs = [kv.add_bias() for kv in teacher_kvs]
            # Of this layer alone: compression may keep other tokens in the next.
            mask = teacher_kvs[0].mask & student.mask & counts
            # In `shuffled` the partner's teacher tokens face these, so both must be covered.
            both = mask & mask[partners] & has_partner[:, None].to(mask.device)
            for index, name in enumerate(("keys", "values")):
                # The pair's one or two teacher layers side by side.
                x = torch.cat([merge_heads(getattr(kv, name)) for kv in teacher_kvs], dim=2)
                if teacher_kvs[0].head_mask is not None:
                    # A pair's layers hold the same tokens.
                    x = append_held(x, teacher_kvs[0].head_mask)
                    self.heads = teacher_kvs[0].keys.shape[1]
                y = merge_heads(getattr(student, name))
                self.add_rows(part, pair.student_layer, index, x[mask], y[mask])
                if part == "held_out":
                    rows = x[partners][both], y[both]
                    self.add_rows("shuffled", pair.student_layer, index, *rows)

    def sum_over_ranks(self) -> None:
        """Adds up what all ranks have summed, and takes it from their devices."""
        for layers in self.moments.values():
            for layer, both in layers.items():
                keys, values = (each.sum_over_ranks().to("cpu") for each in both)
                layers[layer] = keys, values

    def make_calibration(self) -> Calibration:
        """What was summed up, once on the CPU; of `fit` the means that fill what heads dropped."""
        filled, held = self.moments, {}
        if self.heads:
            filled = {part: {} for part in self.moments}
            for pair in self.pipeline.layer_pairs:
                layer, width = pair.student_layer, len(pair.teacher_layers)
                fit = self.moments["fit"][layer]
                held[layer] = compute_held_share(fit[0], self.heads)
                keys, values = (compute_held_means(each, self.heads, width) for each in fit)
                for part, moments in self.moments.items():
                    filled[part][layer] = (
                        fill_with_means(moments[layer][0], keys, width),
                        fill_with_means(moments[layer][1], values, width),
                    )
        return Calibration(
            fit=filled["fit"], held_out=filled["held_out"], shuffled=filled["shuffled"], held=held
        )

    def capture_student(self, tokens: Tokens) -> dict[int, KV]:
        """The raw student's K and V by layer, its keys in the frame that position compares in."""
        with self.capture:
            self.student(**tokens.model_inputs, use_cache=False)

        def rotate(keys: Tensor, layer: int) -> Tensor:
            return self.pipeline.position.rotate_captured_keys(
                keys, self.rotaries[layer], make_positions(keys)
            )

        return {
            number: layer.kv.rotate_keys(partial(rotate, layer=number))
            for number, layer in self.capture.pop_layers(tokens).items()
        }

    def add_rows(self, part: str, layer: int, index: int, x: Tensor, y: Tensor) -> None:
        """Adds teacher rows x and student rows y to a layer's moments of keys (0) or values (1)."""
        if layer not in self.moments[part]:
            widths = x.shape[1], y.shape[1]
            keys, values = (Moments.empty(*widths, device=self.device) for _ in range(2))
            self.moments[part][layer] = keys, values
        self.moments[part][layer][index].add(x, y)


def merge_heads(x: Tensor) -> Tensor:
    """(batch, heads, seq, dim) as (batch, seq, heads * dim)."""
    return x.transpose(1, 2).flatten(2)


def split_into_batches(rows: Sequence[int]) -> list[Sequence[int]]:
    """The rows of each batch, BATCH_TEXTS at a time."""
    return [rows[start : start + BATCH_TEXTS] for start in range(0, len(rows), BATCH_TEXTS)]
