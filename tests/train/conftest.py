"""A tiny student and two tiny teachers of other kinds, on random ids with random links."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

STUDENT = {
    "layers": 3, "hidden_size": 16, "intermediate_size": 32, "heads": 4, "kv_heads": 2,
    "head_dim": 4, "vocab_size": 50, "tied_embeddings": True,
}  # fmt: skip
TEACHERS = {
    "a": STUDENT | {"layers": 6, "hidden_size": 24, "kv_heads": 4, "head_dim": 6},
    "b": STUDENT | {"layers": 4, "hidden_size": 32, "heads": 4, "kv_heads": 1, "head_dim": 8},
}


def compose_live(*overrides: str) -> dict[str, Any]:
    """A composed config whose teachers are there to be looked into, unless it fixes a source."""
    from kvdistill.config.compose import compose

    config = compose(list(overrides))
    return (
        compose([*overrides, "source=online"]) if config["choices"]["source"] == "auto" else config
    )


def composed_config(*overrides: str, teachers: tuple[str, ...] = ("a", "b")) -> dict[str, Any]:
    """A composed config whose geometries are those of the tiny models; Hydra must be there."""
    config = compose_live(*overrides)
    config["student"]["geometry"] = STUDENT
    node = next(iter(config["teachers"].values()), {})
    config["teachers"] = {name: {**node, "geometry": TEACHERS[name]} for name in teachers}
    return config


@pytest.fixture
def composed(hydra: None) -> Callable[..., dict[str, Any]]:
    """The same, with Hydra on the project's conf/."""
    return composed_config


def make_model(geometry: dict[str, Any], kind: str, seed: int = 0) -> Any:
    """A random model of that geometry."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    shape = {
        "vocab_size": geometry["vocab_size"], "hidden_size": geometry["hidden_size"],
        "intermediate_size": geometry["intermediate_size"],
        "num_hidden_layers": geometry["layers"], "num_attention_heads": geometry["heads"],
        "num_key_value_heads": geometry["kv_heads"], "head_dim": geometry["head_dim"],
        "tie_word_embeddings": geometry["tied_embeddings"], "initializer_range": 0.5,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind == "qwen2":
            return Qwen2ForCausalLM(Qwen2Config(**shape))
        return LlamaForCausalLM(LlamaConfig(**shape))


def make_tokens(lengths: list[int], seq: int, seed: int, pad: int = 0) -> Any:
    """Random ids of these lengths, padded to `seq`; the second half of each text is the answer."""
    import torch

    from kvdistill.types import Tokens

    generator = torch.Generator().manual_seed(seed)
    ids = torch.full((len(lengths), seq), pad)
    mask = torch.zeros(len(lengths), seq, dtype=torch.bool)
    answer = mask.clone()
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(1, 50, (length,), generator=generator)
        mask[row, :length] = True
        answer[row, length // 2 : length] = True
    return Tokens(ids, mask, answer)


def make_batch(
    names: tuple[str, ...] = ("a", "b"),
    *,
    more: int = 0,
    pad: int = 0,
    lengths: tuple[int, ...] = (7, 5),
    seed: int = 1,
    alignment: Any = None,
) -> Any:
    """Texts whose teachers use one token less than the student; `more` padding, of id `pad`."""
    import numpy as np

    from kvdistill.alignment.base import Spans
    from kvdistill.alignment.soft import Soft
    from kvdistill.data.collate import flatten_links
    from kvdistill.types import Batch, TeacherInputs

    def spans(count: int) -> Spans:
        edges = np.round(np.linspace(0, 60, count + 1)).astype(np.int64)
        return Spans(edges[:-1], edges[1:])

    seq = max(lengths) + more
    student = make_tokens(list(lengths), seq, seed=seed, pad=pad)
    teachers = {}
    for number, name in enumerate(names):
        short = [length - 1 - number for length in lengths]
        teacher_seq = max(short) + more
        align = alignment or Soft()
        links = [align(spans(a), spans(b)) for a, b in zip(lengths, short, strict=True)]
        teachers[name] = TeacherInputs(
            make_tokens(short, teacher_seq, seed=seed + 100 * (number + 1), pad=pad),
            flatten_links(links, seq, teacher_seq),
        )
    ids = [f"row{i}" for i in range(len(lengths))]
    return Batch(student, teachers, ids, ["task"] * len(lengths))


def make_calibration(sources: Any, teacher: dict[str, Any], seed: int = 0, own: int = 8) -> Any:
    """Random moments of the right widths."""
    import torch

    from kvdistill.kv.calibration import Calibration
    from kvdistill.kv.moments import Moments

    generator = torch.Generator().manual_seed(seed)
    width, rows = teacher["kv_heads"] * teacher["head_dim"], 2 * own + 200
    parts = []
    for _ in range(3):
        part = {}
        for source in sources:
            both = []
            for _ in range(2):
                moments = Moments.empty(width * len(source.teacher_layers), own)
                x = torch.randn(rows, width * len(source.teacher_layers), generator=generator)
                moments.add(x, x[:, :own] + 0.5 * torch.randn(rows, own, generator=generator))
                both.append(moments)
            part[source.student_layer] = tuple(both)
        parts.append(part)
    return Calibration(*parts)


def make_teacher(name: str) -> Any:
    """The random model of that name."""
    return make_model(TEACHERS[name], "llama" if name == "b" else "qwen2", seed=3)


def make_request(name: str, reader: Any, to_head: bool = False) -> Any:
    """What a run wants of the teacher of that name: a random body, read on first use."""
    from functools import cache

    from kvdistill.kv.base import TeacherRequest
    from kvdistill.models.answer_head import split_causal_lm

    load_whole = cache(lambda: split_causal_lm(make_teacher(name), name))
    return TeacherRequest(
        load_body=(lambda: load_whole()[0]) if to_head else partial(make_teacher, name),
        load_head=(lambda: load_whole()[1]) if to_head else None,
        layer_pairs=reader.layer_pairs,
        compression=reader.compression,
        needs_rotary=reader.position.needs_rotary,
    )


def make_logit_objective(config: dict[str, Any]) -> Any:
    """What compares distributions over the tiny models' one vocabulary, where the config does."""
    from kvdistill.logits.objective import LogitObjective
    from kvdistill.logits.vocabulary import TokenTable

    if not config["logits"]["weight"]:
        return None
    table = TokenTable([bytes([token]) for token in range(STUDENT["vocab_size"])], 0)
    return LogitObjective.from_config(config, table, dict.fromkeys(config["teachers"], table))


@pytest.fixture
def distiller(composed: Callable[..., dict[str, Any]]) -> Callable[..., Any]:
    """Builds a calibrated Distiller from overrides."""

    def make(*overrides: str, teachers: tuple[str, ...] = ("a", "b")) -> Any:
        import torch

        from kvdistill.config.build import build_node
        from kvdistill.plan.teaching.signals import matches_kv, reads_answers
        from kvdistill.train.kernels.linear_ce import get_linear_ce
        from kvdistill.train.module import Distiller
        from kvdistill.train.objective import KVObjective, LossWeights
        from kvdistill.train.run import make_pipelines

        config = composed(*overrides, teachers=teachers)
        torch.manual_seed(config["seed"])
        student = build_node("adapter", config["adapter"]).wrap(
            make_model(STUDENT, "qwen2", seed=9)
        )
        weights = LossWeights.from_config(config)
        if not teachers:
            return Distiller(student, None, {}, weights)
        objective = KVObjective(config) if matches_kv(config) else None
        logits, kv_sources = make_logit_objective(config), {}
        for name, pipeline in make_pipelines(config, objective).items():
            if objective is not None:
                stats = make_calibration(pipeline.layer_pairs, TEACHERS[name])
                objective.get_branches()[name].calibrate(stats)
            request = make_request(name, pipeline, to_head=reads_answers(config))
            kv_sources[name] = build_node("source", config["source"], request=request)
        linear_ce = get_linear_ce(config["train"]["linear_ce"])
        return Distiller(student, objective, kv_sources, weights, None, linear_ce, logits)

    return make


@pytest.fixture
def trained(distiller: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Trains and returns the trainer; a call with an earlier call's `name` continues it."""

    def run(*overrides: str, teachers: tuple[str, ...] = ("a", "b"), **changes: Any) -> Any:
        import torch

        from kvdistill.data.sampler import ResumableSampler
        from kvdistill.train.checkpoint import find_newest
        from kvdistill.train.curves import CurveWriter
        from kvdistill.train.trainer import DistillTrainer
        from kvdistill.train.training_arguments import make_training_arguments
        from kvdistill.train.validation import Validation
        from tests.train.runs import STEPS, Rows, make_collator

        name = changes.pop("name", f"run{len(list(tmp_path.iterdir()))}")
        size, accumulate = changes.pop("size", 4), changes.pop("accumulate", 1)
        evaluate, norms = changes.pop("evaluate", 100), changes.pop("norms", 2)
        score, own_texts = changes.pop("score", None), changes.pop("own_texts", None)
        collate = make_collator(teachers, changes.pop("packing", None))
        seed, stop = changes.pop("seed", 5), changes.pop("stop", None)
        module = distiller(f"seed={seed}", *overrides, teachers=teachers)
        train = {
            "lr": 0.01, "weight_decay": 0.01, "warmup_ratio": 0.25, "lr_scheduler_type": "cosine",
            "max_grad_norm": 1.0, "bf16": False, "report_to": "none", "deepspeed": None,
            "logging_steps": 1, "eval_steps": evaluate, "save_steps": 2,
        } | changes  # fmt: skip
        budget = {"batch_size": size, "grad_accum": accumulate}
        loss = {"ce_weight": module.weights.ce, "kv_weight": module.weights.kv}
        config = {"train": train, "budget": budget, "seed": seed, "loss": loss}
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        resume_point = find_newest(folder / "checkpoints", {})
        curves = CurveWriter(folder)
        curves.load_state(resume_point.folder)
        trainer = DistillTrainer(
            module,
            make_training_arguments(config, STEPS, folder),
            texts=Rows(),
            sampler=ResumableSampler(64, STEPS * size * accumulate, seed),
            collate=collate,
            validation=Validation([collate([60, 61, 62])], score, 1),
            curves=curves,
            progress=(
                lambda step, _: (_ for _ in ()).throw(KeyboardInterrupt) if step == stop else None
            ),
            needs={},
            norms_every=norms,
            own_texts=own_texts,
        )
        torch.manual_seed(99)  # what came before must not matter
        trainer.fit(resume_point.folder)
        return trainer

    return run
