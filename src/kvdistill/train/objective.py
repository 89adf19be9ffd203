"""The KV objective of a run: its strategies, built from the config and checked for shapes.

Submodules and buffers keep the names that they were first registered under (`taught`, `constants`,
`own_...`, `spread_...`), since checkpoints hold tensors by these names; code reads them through
properties and methods named after what they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from kvdistill.alignment.base import Alignment
from kvdistill.compression.base import Compression
from kvdistill.config.build import build_node
from kvdistill.config.compose import Config
from kvdistill.errors import ConfigError
from kvdistill.fusion.base import Fusion
from kvdistill.fusion.routing import Routing
from kvdistill.geometry import Geometry
from kvdistill.kv.calibration import Calibration, compute_target_std, slice_teacher_layer
from kvdistill.kv.moments import Moments
from kvdistill.layers.base import LayerPair
from kvdistill.layers.from_config import pair_layers
from kvdistill.layers.select import select_layers
from kvdistill.layers.teacher_rooms import apply_own_rooms, list_own_rooms
from kvdistill.loss.balance import Balance
from kvdistill.loss.base import Distance
from kvdistill.loss.schedule.base import Schedule
from kvdistill.loss.schedule.steady import Steady
from kvdistill.loss.tokens.base import TokenChoice, check_token_weights
from kvdistill.models.attention.rotary import NO_ROTATION, Rotary
from kvdistill.models.capture import Capture
from kvdistill.position.base import Position
from kvdistill.projection.base import Projection, check_shared_space
from kvdistill.types import KV


@dataclass(frozen=True)
class TeacherPipeline:
    """How one teacher's tokens are read and placed: the strategies that hold no weights."""

    compression: Compression
    alignment: Alignment
    position: Position
    layer_pairs: list[LayerPair]

    @classmethod
    def from_config(cls, config: Config, teacher: Geometry) -> "TeacherPipeline":
        """Built from the groups compression, alignment, position and layers."""
        return cls(
            compression=build_node("compression", config["compression"]),
            alignment=build_node("alignment", config["alignment"]),
            position=build_node("position", config["position"]),
            layer_pairs=pair_layers(config, teacher),
        )

    @classmethod
    def without_layers(cls, config: Config) -> "TeacherPipeline":
        """The same where K and V of no layer are read."""
        parts = {
            name: build_node(name, config[name])
            for name in ("compression", "alignment", "position")
        }
        return cls(**parts, layer_pairs=[])

    def read_student_rotaries(
        self, capture: Capture, layers: Sequence[int]
    ) -> Mapping[int, Rotary]:
        """The student's rotary embedding in each layer; the identity where position turns no keys.

        Raises ConfigError for a rotary embedding that cannot be reproduced.
        """
        if not self.position.needs_rotary:
            return dict.fromkeys(layers, NO_ROTATION)
        return capture.read_rotaries()


class CalibrationStats(nn.Module):
    """Calibrated means and standard deviations of one teacher in each layer, fixed in training.

    A buffer a statistic: `own` is the raw student's mean and `teacherN` that of teacher layer N,
    (kv_heads, head_dim) each; `spread` is the target's standard deviation, a scalar.
    """

    def __init__(
        self, layer_pairs: Sequence[LayerPair], student: Geometry, teacher: Geometry
    ) -> None:
        """Means of 0 and deviations of 1 until `TeacherBranch.calibrate` writes others in place."""
        super().__init__()
        for pair in layer_pairs:
            for name in ("keys", "values"):
                suffix = f"{pair.student_layer}_{name}"
                self.register_buffer(
                    f"own_{suffix}", torch.zeros(student.kv_heads, student.head_dim)
                )
                self.register_buffer(f"spread_{suffix}", torch.ones(()))
                for layer in pair.teacher_layers:
                    shape = (teacher.kv_heads, teacher.head_dim)
                    self.register_buffer(f"teacher{layer}_{suffix}", torch.zeros(shape))

    def read_stat(self, what: str, layer: int, name: str) -> Tensor:
        """A student layer's buffer; `what`: own, spread or teacherN; `name`: keys or values."""
        value: Tensor = getattr(self, f"{what}_{layer}_{name}")
        return value

    def subtract_mean(self, kv: KV, what: str, layer: int) -> KV:
        """The K and V less their calibrated mean, `what` being own or teacherN; in float32.

        K and V that are kept without their bias never get it: it is taken off the mean.
        """

        def centre(name: str) -> Tensor:
            mean, x = self.read_stat(what, layer, name), getattr(kv, name)
            if kv.bias is not None:
                mean = mean - getattr(kv.bias, name)
            # Promoted to the mean's float32: rounded to bfloat16 a mean, or what is left of K and V
            # once it is gone, would be as wrong as 1 / 256 of it.
            return x - mean[:, None]

        keys, values = centre("keys"), centre("values")
        if kv.head_mask is not None:
            # A head that dropped the token says no more of it than its mean, which is now 0.
            dropped = ~kv.head_mask[..., None]
            keys, values = keys.masked_fill(dropped, 0), values.masked_fill(dropped, 0)
        return replace(kv, keys=keys, values=values, bias=None)


class TeacherBranch(nn.Module):
    """One teacher's part of the trained module: its pipeline, projection and statistics."""

    def __init__(
        self, pipeline: TeacherPipeline, projection: Projection, stats: CalibrationStats
    ) -> None:
        """The pipeline holds no weights and is no submodule."""
        super().__init__()
        self.pipeline = pipeline
        self.projection: Projection = projection
        self.constants = stats

    @property
    def stats(self) -> CalibrationStats:
        """The calibrated statistics."""
        return self.constants

    @classmethod
    def from_config(cls, config: Config, teacher: Geometry) -> "TeacherBranch":
        """Built, not yet calibrated."""
        pipeline = TeacherPipeline.from_config(config, teacher)
        student = Geometry.from_node(config["student"])
        projection = build_node(
            "projection",
            config["projection"],
            student=student,
            teacher=teacher,
            layer_pairs=pipeline.layer_pairs,
        )
        return cls(pipeline, projection, CalibrationStats(pipeline.layer_pairs, student, teacher))

    def calibrate(self, calibration: Calibration) -> dict[str, float]:
        """Fits the projection and sets the statistics; returns R^2, averaged over layers, K and V.

        `held_out_r2` is on rows that nothing was fitted on, `shuffled_r2` on those rows with each
        student text facing another text's teacher.
        """
        layer_pairs = self.pipeline.layer_pairs
        self.projection.fit(
            {
                (pair.student_layer, layer): (
                    slice_teacher_layer(keys, pair, i),
                    slice_teacher_layer(values, pair, i),
                )
                for pair in layer_pairs
                for keys, values in [calibration.fit[pair.student_layer]]
                for i, layer in enumerate(pair.teacher_layers)
            }
        )
        scores: dict[str, list[float]] = {"held_out_r2": [], "shuffled_r2": []}
        for pair in layer_pairs:
            for index, name in enumerate(("keys", "values")):
                # After the fit: the map is read off the fitted projection.
                weight = self.read_linear_map(pair, name)
                moments = calibration.fit[pair.student_layer][index]
                self.set_means(pair, name, moments.x / moments.count, moments.y / moments.count)
                std = compute_target_std(moments, weight)
                if not self.projection.mixes_heads:
                    # Of what heads hold: the rest is at the mean, and is not compared.
                    std /= calibration.held.get(pair.student_layer, 1.0) ** 0.5
                self.stats.read_stat("spread", pair.student_layer, name).fill_(std)
                held_out = calibration.held_out[pair.student_layer][index]
                shuffled = calibration.shuffled[pair.student_layer][index]
                scores["held_out_r2"].append(self.score_r2(held_out, weight, pair, name))
                scores["shuffled_r2"].append(self.score_r2(shuffled, weight, pair, name))
        return {name: sum(values) / len(values) for name, values in scores.items()}

    def score_r2(self, moments: Moments, weight: Tensor, pair: LayerPair, name: str) -> float:
        """R^2 between the student's K or V and the target, in the space of comparison.

        `weight` maps the teacher's layers, side by side, to the target.
        """
        if self.projection.in_student_space:
            return moments.r2_score(weight)
        own = self.stats.read_stat("own", pair.student_layer, name)
        project = partial(self.projection.project_student, map_id=(pair.student_layer, pair.low))
        # In the teacher's space it is the student that is mapped, so it predicts the target.
        return moments.project_teacher(weight).reverse.r2_score(
            build_map_matrix(project, own.shape, name)
        )

    def set_means(self, pair: LayerPair, name: str, x: Tensor, y: Tensor) -> None:
        """The means of the teacher's layers (side by side in x) and of the raw student (y)."""
        own = self.stats.read_stat("own", pair.student_layer, name)
        own.copy_(y.view_as(own))
        for layer, part in zip(pair.teacher_layers, x.chunk(len(pair.teacher_layers)), strict=True):
            mean = self.stats.read_stat(f"teacher{layer}", pair.student_layer, name)
            mean.copy_(part.view_as(mean))

    def read_linear_map(self, pair: LayerPair, name: str) -> Tensor:
        """The map from a pair's teacher layers to its target, with interpolation, as one matrix.

        Shape (teacher widths side by side, target width); read off by projecting unit vectors.
        """
        blocks = []
        for layer in pair.teacher_layers:
            mean = self.stats.read_stat(f"teacher{layer}", pair.student_layer, name)
            project = partial(self.projection.project_teacher, map_id=(pair.student_layer, layer))
            # One teacher layer alone is its own low layer, and its weight is 0.
            share = pair.weight if layer != pair.low else 1 - pair.weight
            blocks.append(share * build_map_matrix(project, mean.shape, name))
        return torch.cat(blocks)


def build_branch(config: Config, name: str) -> TeacherBranch:
    """One teacher's part, by its own projection and layer map where its node has such.

    Raises ConfigError for what these refuse, naming the teacher where they are its own.
    """
    node = config["teachers"][name]
    try:
        return TeacherBranch.from_config(apply_own_rooms(config, node), Geometry.from_node(node))
    except ConfigError as error:
        if not list_own_rooms(config, node):
            raise
        raise ConfigError(
            f"teachers.{name}, with a projection or layer map of its own: {error}"
        ) from error


@torch.no_grad()
def build_map_matrix(project: Callable[[KV], KV], shape: Sequence[int], name: str) -> Tensor:
    """A linear map of K or V as a (width in, width out) matrix, read off unit vectors.

    `shape` is (heads, dim) of what goes in; `name`: keys or values.
    """
    heads, dim = shape
    # One text, each of whose tokens is a unit vector over all heads.
    unit = torch.eye(heads * dim).view(1, heads * dim, heads, dim).transpose(1, 2)
    mapped = project(KV(unit, unit, torch.ones(1, heads * dim, dtype=torch.bool)))
    rows: Tensor = getattr(mapped, name)
    return rows.transpose(1, 2).reshape(heads * dim, -1)


@dataclass(frozen=True)
class LossWeights:
    """Weights of the loss's terms (`loss`, `logits`) and of K and V in the KV term (`kv`)."""

    ce: float
    kv: float
    entropy: float
    keys: float
    values: float
    schedule: Schedule = field(default_factory=Steady)
    logits: float = 0.0

    def scale_terms(self, progress: float) -> "LossWeights":
        """The weights after this share of the steps."""
        factors = self.schedule.compute_factors(progress)
        return replace(
            self, ce=self.ce * factors.ce, kv=self.kv * factors.kv, logits=self.logits * factors.ce
        )

    @classmethod
    def from_config(cls, config: Config) -> "LossWeights":
        """Raises ConfigError where nothing would be trained or matched."""
        loss, kv = config["loss"], config["kv"]
        if kv["keys"] + kv["values"] == 0 < loss["kv_weight"]:
            raise ConfigError(
                f"kv.keys and kv.values are both 0, so loss.kv_weight={loss['kv_weight']:g} has "
                f"nothing to match. Raise one, or use loss.kv_weight=0."
            )
        # A plan that was frozen before there were distributions has none.
        logits = (config.get("logits") or {}).get("weight", 0.0)
        if loss["ce_weight"] + loss["kv_weight"] + logits == 0:
            raise ConfigError(
                "loss.ce_weight, loss.kv_weight and logits.weight are all 0, so nothing is "
                "trained. Raise one."
            )
        weights = cls(
            ce=loss["ce_weight"], kv=loss["kv_weight"], entropy=loss["entropy_weight"],
            keys=kv["keys"], values=kv["values"], schedule=build_loss_part("schedule", loss),
            logits=logits,
        )  # fmt: skip
        weights.check_idle_steps()
        return weights

    def check_idle_steps(self) -> None:
        """Raises ConfigError where the schedule leaves a part of the steps nothing to train."""
        for percent in range(100):
            now = self.scale_terms(percent / 100)
            if now.ce + now.kv + now.logits == 0 < self.ce + self.kv:
                raise ConfigError(
                    f"loss.schedule leaves nothing to train after {percent} % of the steps, since "
                    f"loss.ce_weight={self.ce:g} and loss.kv_weight={self.kv:g}. Raise the other "
                    f"weight, or use loss/schedule=constant."
                )


# A plan that was frozen before there were these parts of the loss has none of them.
_EARLIER = {
    "schedule": {"_target_": "kvdistill.loss.schedule.steady.Steady"},
    "tokens": {"_target_": "kvdistill.loss.tokens.every_token.EveryToken"},
}


def build_loss_part(name: str, loss: Mapping[str, Any]) -> Any:
    """The strategy of a part of the loss group that was added to it."""
    return build_node(f"loss.{name}", loss.get(name, _EARLIER[name]))


class KVObjective(nn.Module):
    """All strategies between the models and the loss, of one student and its teachers."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigError for what a strategy refuses."""
        super().__init__()
        teachers = config["teachers"]
        student = Geometry.from_node(config["student"])
        self.layers = select_layers(config["layers"]["range"], student.layers)
        self.taught = nn.ModuleDict({name: build_branch(config, name) for name in teachers})
        branches = self.get_branches()
        check_shared_space({name: branch.projection for name, branch in branches.items()})
        self.fusion: Fusion = build_node(
            "fusion",
            config["fusion"],
            student=student,
            teachers=list(teachers),
            layers=list(self.layers),
        )
        self.distance: Distance = build_node("loss.distance", config["loss"]["distance"])
        self.tokens: TokenChoice = build_loss_part("tokens", config["loss"])
        check_token_weights(self.tokens, self.distance)
        self.balance: Balance = build_node("loss.balance", config["loss"]["balance"])
        self.weights = LossWeights.from_config(config)

    def get_branches(self) -> dict[str, TeacherBranch]:
        """Each teacher's branch by name, in the teachers' order."""
        return dict(self.taught.items())  # type: ignore[arg-type]

    @property
    def first_branch(self) -> TeacherBranch:
        """The first teacher's branch: where the student's own mean and space are read from."""
        return next(iter(self.get_branches().values()))

    def list_trainable(self) -> list[Projection | Fusion]:
        """The projections and the fusion that hold trained weights."""
        strategies: list[Projection | Fusion] = [
            branch.projection for branch in self.get_branches().values()
        ]
        strategies.append(self.fusion)
        return [strategy for strategy in strategies if strategy.trains and strategy.lr_scale > 0]

    def make_routing(self) -> Routing:
        """An empty table of the fusion's weights."""
        return Routing(teachers=list(self.get_branches()), layers=self.layers)

    def average_target_std(self, layer: int, name: str) -> Tensor:
        """Standard deviation of a layer's targets, averaged over teachers; `name`: keys or values.

        One scale a layer, whatever the fusion weights.
        """
        stats = [branch.stats for branch in self.get_branches().values()]
        return torch.stack([each.read_stat("spread", layer, name) for each in stats]).mean()
