"""Bytes that a real step holds at its highest, against what the plan foretells of it.

Models have the true number of layers, KV heads and head size of the study's, and are thin
elsewhere, so that K and V between them are what they are at full size; texts are shorter, and
every byte but that of weights is proportional to their tokens. Storages are counted as long as they
live, by a dispatch mode: what PyTorch's allocator of a GPU would hold, without its rounding.
"""

import gc
import weakref
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from kvdistill.geometry import Geometry
from kvdistill.kv.base import TeacherRequest
from kvdistill.kv.online import Online
from kvdistill.logits.objective import LogitObjective
from kvdistill.logits.vocabulary import TokenTable
from kvdistill.models.answer_head import split_causal_lm
from kvdistill.models.decoder import truncate_decoder
from kvdistill.plan.resources.run_memory import PART_LOGITS, RunMemory, estimate_run_memory
from kvdistill.plan.teaching.signals import matches_kv
from kvdistill.train.module import Distiller
from kvdistill.train.objective import KVObjective, LossWeights
from kvdistill.train.run import make_pipelines
from kvdistill.types import Batch, Links, TeacherInputs, Tokens
from tests.bench.gpu_ready.part import Part
from tests.train.conftest import compose_live

CONF = Path(__file__).parents[3] / "conf"
THIN, VOCABULARY = 64, 512
TEXTS, LENGTH = 2, 192
CASES: Mapping[str, tuple[str, ...]] = {
    "sft": ("arm=sft",),
    "one_teacher": ("arm=single_teacher",),
    "one_teacher_all_tokens": ("arm=single_teacher", "compression=full"),
    "one_teacher_r_kv": ("arm=single_teacher", "compression=r_kv"),
    "two_teachers": ("arm=multi_teacher",),
    "two_teachers_learnable": ("arm=multi_teacher", "fusion=learnable", "compression=full"),
    "three_teachers": ("arm=multi_teacher", "teachers=three"),
    "three_teachers_learnable": (
        "arm=multi_teacher",
        "teachers=three",
        "fusion=learnable",
        "compression=full",
    ),
    "four_teachers": ("arm=multi_teacher", "teachers=four"),
    "four_teachers_learnable": ("arm=multi_teacher", "teachers=four", "fusion=learnable"),
}
WIDE = {"divisor": 14, "hidden_size": 1536, "intermediate_size": 8960, "heads": 12}
"""Two layers of the study's student at their full width."""
WIDE_CASES: Mapping[str, tuple[str, ...]] = {
    "wide_student": ("arm=sft",),
    "wide_student_all_kept": ("arm=sft", "train.gradient_checkpointing=false"),
}
TALL = {"divisor": 14, "vocabulary": 8192}
"""Two layers and a vocabulary beside which they are small."""
LOGIT_CASES: Mapping[str, tuple[str, ...]] = {
    "logits_alone": ("arm=logit_kd", "teachers=single", "logits/vocabulary=same"),
    "logits_of_two": (
        "arm=logit_kd",
        "teachers=same_family",
        "logits/vocabulary=same",
        "logits/teachers=averaged",
    ),
    "kv_and_logits": ("arm=ce_kl_kv", "teachers=single", "logits/vocabulary=same"),
}
QUICK = ("sft", "one_teacher", "two_teachers_learnable")


class LiveBytes(TorchDispatchMode):
    """While this is open, counts the bytes of all storages that operations make, and their peak.

    And the operations that launch something: all but views.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches = 0
        self.live = self.peak = 0
        self._known: dict[int, int] = {}

    def add(self, tensor: Tensor) -> None:
        """Counts a tensor's storage, once, until it is freed."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known[key] = size
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self.live -= self._known.pop(key)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.launches += not function.is_view
        results = function(*args, **(kwargs or {}))
        for result in tree_leaves(results):
            if isinstance(result, Tensor):
                self.add(result)
        return results


@dataclass(frozen=True)
class Measured:
    """One step at its highest, and what was foretold of it, in bytes."""

    peak: int
    weights: int
    """Of `peak`: weights, gradients, moments and frozen models."""
    plan: RunMemory
    launches: int
    """Of all operations of the step, clipping apart."""

    @property
    def ratio(self) -> float:
        """Plan over measured, of all of it."""
        return self.plan.total / self.peak

    @property
    def step_ratio(self) -> float:
        """Of what the step adds to the models."""
        held = self.plan.student + sum(self.plan.teachers.values())
        return (self.plan.total - held) / (self.peak - self.weights)


def measure(quick: bool) -> dict[str, float]:
    """Plan over measured, of every case; and what a micro-batch of 32 x 512 would hold in GiB."""
    figures: dict[str, float] = {}
    for name in QUICK if quick else CASES:
        one = measure_step(CASES[name])
        figures[f"plan_over_live_{name}"] = one.ratio
        figures[f"plan_over_live_step_{name}"] = one.step_ratio
        figures[f"step_launches_{name}"] = one.launches
        scale = 32 * 512 / (TEXTS * LENGTH)
        figures[f"step_gib_{name}"] = (one.peak - one.weights) * scale / 2**30
    for name, overrides in () if quick else WIDE_CASES.items():
        figures[f"plan_over_live_{name}"] = measure_step(overrides, **WIDE).ratio
    for name, overrides in () if quick else LOGIT_CASES.items():
        figures[f"plan_over_live_{name}"] = measure_step(overrides, **TALL).ratio
    return figures


def measure_step(
    overrides: tuple[str, ...], divisor: int = 1, vocabulary: int = VOCABULARY, **shape: int
) -> Measured:  # fmt: skip
    """Trains two steps, of which the second is measured.

    `divisor` divides every model's layers, `vocabulary` is that of all of them; `shape` sets fields
    of the student's geometry.
    """
    torch.manual_seed(0)
    config = compose_case(overrides)
    for node in (config["student"], *config["teachers"].values()):
        geometry = node["geometry"]
        geometry |= {
            "hidden_size": THIN, "intermediate_size": 2 * THIN, "vocab_size": vocabulary,
            "heads": geometry["kv_heads"], "layers": geometry["layers"] // divisor,
        }  # fmt: skip
        # What is measured is one rank that holds all of its models.
        node["placement"] = {"shard": "none"}
    config["student"]["geometry"] |= shape
    module, bodies = build_distiller(config)
    batch = make_batch(config)
    config["estimate"]["answer_share"] = float(batch.student.label_mask.float().mean())
    optimizer = torch.optim.AdamW(module.make_param_groups(1e-5, 0.01), lr=1e-5, fused=True)
    train_step(module, batch, optimizer)  # moments and gradients exist from now on
    gc.collect()
    counter = LiveBytes()
    held: list[Tensor] = [x for part in (module, *bodies) for x in part.state_dict().values()]
    held += [x.grad for x in module.parameters() if x.grad is not None]
    held += [x for state in optimizer.state.values() for x in state.values()]
    # Compared as on a GPU: a CPU takes as few logits at once as its cache holds.
    with counter, mock.patch("kvdistill.logits.same.CACHE_LOGITS", PART_LOGITS):
        for tensor in held:
            counter.add(tensor)
        weights = counter.live
        train_step(module, batch, optimizer)
    return Measured(counter.peak, weights, estimate_run_memory(config), counter.launches)


def compose_case(overrides: tuple[str, ...]) -> dict[str, Any]:
    """The paper's config with the bench's batch, for one rank."""
    size = (f"budget.batch_size={TEXTS}", f"budget.seq_len={LENGTH}", "budget.num_gpus=1")
    # A test has Hydra's folder open already.
    is_open = GlobalHydra.instance().is_initialized()
    with nullcontext() if is_open else initialize_config_dir(str(CONF), version_base="1.3"):
        return compose_live("scale=paper", *size, *overrides)


def train_step(module: Distiller, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    """As the trainer does it: autocast around the forward alone, gradients kept where they lie."""
    with torch.autocast("cpu", torch.bfloat16):
        loss, terms, distributions = module(batch)
    loss = loss / len(batch.ids)
    if terms is not None:
        loss = loss + terms.kv - 0.01 * terms.entropy + terms.penalty
    if distributions is not None:
        loss = loss + distributions.total / len(batch.ids)
    del terms, distributions
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)


def build_distiller(config: dict[str, Any]) -> tuple[Distiller, list[nn.Module]]:
    """The module of a config with weights drawn at random, and its teachers' bodies."""
    student = make_model(config["student"], torch.float32)
    weights = LossWeights.from_config(config)
    if not config["teachers"]:
        module = Distiller(student, None, {}, weights)
    else:
        objective = KVObjective(config) if matches_kv(config) else None
        for buffer in objective.buffers() if objective else ():
            buffer.nan_to_num_(0.01)  # maps that nothing was fitted on
        logits = make_logit_objective(config)
        teachers = {
            name: make_teacher(config["teachers"][name], pipeline, to_head=logits is not None)
            for name, pipeline in make_pipelines(config, objective).items()
        }
        module = Distiller(student, objective, teachers, weights, logits=logits)
    module.train()
    if config["train"]["gradient_checkpointing"]:
        module.enable_gradient_checkpointing()
    parts = [part for each in module._teachers.values() for part in (each.body, each.head)]
    return module, [part for part in parts if part is not None]


def make_logit_objective(config: dict[str, Any]) -> LogitObjective | None:
    """What compares distributions over one vocabulary of made-up tokens, where the config does."""
    if not config["logits"]["weight"]:
        return None
    size = config["student"]["geometry"]["vocab_size"]
    table = TokenTable([str(token).encode() for token in range(size)], 0)
    return LogitObjective.from_config(config, table, dict.fromkeys(config["teachers"], table))


def make_model(node: Mapping[str, Any], dtype: torch.dtype) -> PreTrainedModel:
    """A Qwen2 of that geometry."""
    geometry = Geometry.from_node(node)
    config = Qwen2Config(
        vocab_size=geometry.vocab_size, hidden_size=geometry.hidden_size,
        intermediate_size=geometry.intermediate_size, num_hidden_layers=geometry.layers,
        num_attention_heads=geometry.heads, num_key_value_heads=geometry.kv_heads,
        head_dim=geometry.head_dim, tie_word_embeddings=geometry.tied_embeddings,
        max_position_embeddings=LENGTH,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).to(dtype)


def make_teacher(node: Mapping[str, Any], pipeline: Any, *, to_head: bool = False) -> Online:
    """A teacher that reads every batch, in bfloat16."""
    model, head = make_model(node, torch.bfloat16), None
    if to_head:
        body, head = split_causal_lm(model, "teachers")
    else:
        body = truncate_decoder(model, max(pair.high for pair in pipeline.layer_pairs))
    return Online(
        TeacherRequest(
            load_body=lambda: body,
            load_head=(lambda: head) if to_head else None,
            layer_pairs=pipeline.layer_pairs,
            compression=pipeline.compression,
            needs_rotary=pipeline.position.needs_rotary,
        )
    )


def make_batch(config: dict[str, Any]) -> Batch:
    """Full texts, the second half of each an answer; a teacher's token under each student's."""
    count = TEXTS * LENGTH
    links = Links(torch.arange(count), torch.ones(count), torch.arange(count), LENGTH, LENGTH)

    def draw_tokens() -> Tokens:
        answer = torch.arange(LENGTH).expand(TEXTS, -1) >= LENGTH // 2
        ids = torch.randint(config["student"]["geometry"]["vocab_size"], (TEXTS, LENGTH))
        return Tokens(ids, torch.ones_like(answer), answer)

    teachers = {name: TeacherInputs(draw_tokens(), links) for name in config["teachers"]}
    names = [str(number) for number in range(TEXTS)]
    return Batch(draw_tokens(), teachers, names, ["bench"] * TEXTS)


LAUNCHES = {
    "sft": 6_700, "one_teacher": 12_700, "one_teacher_all_tokens": 12_700,
    "one_teacher_r_kv": 17_700, "two_teachers": 15_700, "two_teachers_learnable": 18_700,
    "three_teachers": 21_000, "three_teachers_learnable": 24_500, "four_teachers": 24_900,
    "four_teachers_learnable": 28_900,
}  # fmt: skip
"""Of a step at the study's depth, its layers recomputed: a tenth above what was counted."""
PART = Part(
    measure=measure,
    at_most={f"step_launches_{name}": bound for name, bound in LAUNCHES.items()}
    | {f"plan_over_live_{name}": 1.10 for name in (*CASES, *WIDE_CASES, *LOGIT_CASES)}
    | {f"plan_over_live_step_{name}": 1.10 for name in CASES if name != "sft"},
    at_least={f"plan_over_live_{name}": 0.90 for name in (*CASES, *WIDE_CASES, *LOGIT_CASES)}
    | {f"plan_over_live_step_{name}": 0.90 for name in CASES if name != "sft"},
)
