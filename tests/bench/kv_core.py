"""What KV distillation costs on top of the models that it needs.

    python -m tests.bench.kv_core [--quick]

1. A step with two teachers of other tokenizers, soft alignment and a frozen ridge projection over
   the same step's bare parts: student forward and backward, teachers' layers in a loop down to the
   attention of the deepest one needed (its MLP is cut off on both sides). Hidden size 512 and
   more, T = 512, one thread, random weights.
2. Alignment's share of that step, built (once a text, then cached) and applied.
3. Memory of r_kv at T = 4,096, and the cost of alignment from T = 512 to 8,192.

Times are processor seconds of one thread, interleaved, medians. The last line is one JSON object.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import initialize_config_dir

from kvdistill.alignment.base import Spans
from kvdistill.alignment.soft import Soft
from kvdistill.compression.r_kv import RKV
from kvdistill.config.build import build_node
from kvdistill.config.compose import compose
from kvdistill.data.collate import flatten_links
from kvdistill.kv.base import TeacherRequest
from kvdistill.train.module import Distiller
from kvdistill.train.objective import KVObjective, LossWeights
from kvdistill.train.step import align_teacher_kv, sum_cross_entropy
from kvdistill.types import KV, Batch, Layer, Links, TeacherInputs, Tokens
from tests.compression.layers import select_tokens
from tests.compression.peak_memory import PeakMemory
from tests.train.conftest import make_calibration, make_model

CONF = Path(__file__).parents[2] / "conf"
SEQ = 512
STUDENT = {
    "layers": 4, "hidden_size": 512, "intermediate_size": 1408, "heads": 8, "kv_heads": 2,
    "head_dim": 64, "vocab_size": 4096, "tied_embeddings": True,
}  # fmt: skip
TEACHERS = {
    "a": STUDENT | {"layers": 6, "hidden_size": 768, "intermediate_size": 2048, "heads": 12},
    "b": STUDENT | {"layers": 5, "intermediate_size": 1536, "kv_heads": 4},
}
BOUNDS = {
    "step_ratio": 1.10,
    "alignment_share": 0.03,
    "r_kv_4096_mib": 16.0,
    "alignment_exponent": 1.1,
}


def main() -> int:
    """Measures, prints, and says whether every bound holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    figures = {**step(rounds=5 if quick else 21), **memory(), **growth(rounds=5 if quick else 21)}
    ok = all(figures[name] <= bound for name, bound in BOUNDS.items())
    print(json.dumps({"name": "kv_core", "figures": figures, "bounds": BOUNDS, "ok": ok}))
    return 0 if ok else 1


def step(rounds: int) -> dict[str, float]:
    """Seconds of a whole step, of its bare parts, and of alignment."""
    generator = np.random.default_rng(0)
    module = distiller()
    batch, spans = texts(generator, list(TEACHERS), 1)

    def run_step() -> None:
        ce, terms, _ = module(batch)
        assert terms is not None
        (0.5 * ce / SEQ + terms.kv).backward()
        module.zero_grad(set_to_none=True)

    def run_bare_parts() -> None:
        tokens = batch.student
        scores = module._head(tokens, tokens.logit_mask)
        (0.5 * sum_cross_entropy(scores, tokens) / SEQ).backward()
        module.zero_grad(set_to_none=True)
        for name, source in module._teachers.items():
            loop(source.body, batch.teachers[name].tokens.ids)

    def build_links() -> None:
        for name in TEACHERS:
            link_texts(spans["student"], spans[name])

    read = {
        name: source.read_kv_cache(batch.teachers[name].tokens, batch.ids)
        for name, source in module._teachers.items()
    }

    def apply_links() -> None:
        for name, taught in module.objective.get_branches().items():
            turns, links = module._teachers[name].rotaries, batch.teachers[name].links
            for kept in read[name]:
                through = links.map_to_rows(kept.row_of_token)
                list(align_teacher_kv(kept, through, taught.pipeline.position, turns))

    times = medians([run_step, run_bare_parts, build_links, apply_links], rounds)
    return {
        "step_s": times[0],
        "bare_s": times[1],
        "step_ratio": times[0] / times[1],
        "alignment_build_s": times[2],
        "alignment_apply_s": times[3],
        "alignment_share": (times[2] + times[3]) / times[0],
    }


def distiller(teachers: Mapping[str, dict[str, Any]] = TEACHERS) -> Distiller:
    """The default arm with full compression, taught by models of these geometries."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(["compression=full", "source=online"])
    config["student"]["geometry"] = STUDENT
    node = config["teachers"]["a"]
    config["teachers"] = {k: {**node, "geometry": shape} for k, shape in teachers.items()}
    rooms, sources = KVObjective(config), {}
    for name, part in rooms.get_branches().items():
        own = STUDENT["kv_heads"] * STUDENT["head_dim"]
        shape = teachers[name]
        part.calibrate(make_calibration(part.pipeline.layer_pairs, shape, own=own))
        assert part.pipeline.layer_pairs[-1].high == shape["layers"] - 1
        request = TeacherRequest(
            load_body=partial(make_model, shape, "llama" if name == "b" else "qwen2", seed=3),
            layer_pairs=part.pipeline.layer_pairs,
            compression=part.pipeline.compression,
            needs_rotary=False,
        )
        sources[name] = build_node("source", config["source"], request=request)
    student = make_model(STUDENT, "qwen2").train()
    return Distiller(student, rooms, sources, LossWeights.from_config(config))


@torch.no_grad()
def loop(body: Any, ids: torch.Tensor) -> None:
    """The layers that a teacher is cut down to, one after the other, nothing else."""
    hidden = body.embed_tokens(ids)
    positions = torch.arange(ids.shape[1])[None]
    turned = body.rotary_emb(hidden, positions)
    for layer in body.layers:
        hidden = layer(hidden, position_embeddings=turned, position_ids=positions)


def texts(
    generator: np.random.Generator, names: list[str], count: int, seq: int = SEQ
) -> tuple[Batch, dict[str, list[Spans]]]:
    """`count` texts of 4 bytes a token, as the student and each teacher split them."""
    spans = {
        who: [cuts(generator, seq, 4 * seq) for _ in range(count)] for who in ("student", *names)
    }
    readings = {
        name: TeacherInputs(
            tokens(generator, count, seq), link_texts(spans["student"], spans[name])
        )
        for name in names
    }
    ids = [f"row{i}:cot" for i in range(count)]
    return Batch(tokens(generator, count, seq), readings, ids, ["task"] * count), spans


def tokens(generator: np.random.Generator, count: int, seq: int = SEQ) -> Tokens:
    """Random ids without padding; the second half is the answer."""
    ids = torch.from_numpy(generator.integers(1, STUDENT["vocab_size"], (count, seq)))
    return Tokens(
        ids,
        torch.ones(count, seq, dtype=torch.bool),
        torch.arange(seq).expand(count, -1) >= seq // 2,
    )


def cuts(generator: np.random.Generator, seq: int, size: int) -> Spans:
    """`seq` tokens that cover `size` bytes, cut at random."""
    inner = np.sort(generator.choice(np.arange(1, size), seq - 1, replace=False))
    return Spans(np.append(0, inner), np.append(inner, size))


def link_texts(student: list[Spans], teacher: list[Spans]) -> Links:
    """Soft links of a batch."""
    links = [Soft()(own, theirs) for own, theirs in zip(student, teacher, strict=True)]
    return flatten_links(links, len(student[0].starts), len(teacher[0].starts))


def memory() -> dict[str, float]:
    """The most that r_kv holds at once beyond its inputs, for one sample of 2 x 128 keys."""
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(1, 2, 4096, 128, generator=generator)
    queries = torch.randn(1, 8, 4096, 128, generator=generator)
    mask = torch.ones(1, 4096, dtype=torch.bool)
    one = Layer(KV(keys, keys, mask), Tokens(mask.long(), mask, mask), queries, keys)
    with PeakMemory() as peak:
        select_tokens(RKV(keep=64), one)
    return {"r_kv_4096_mib": peak.most / 2**20}


def growth(rounds: int) -> dict[str, Any]:
    """Cost of building and applying soft links; its exponent in T by least squares of the logs."""
    generator = np.random.default_rng(1)
    sizes = [512, 1024, 2048, 4096, 8192]
    work = []
    for seq in sizes:
        pair = [[cuts(generator, seq, 4 * seq)] for _ in range(2)]
        x = torch.randn(seq, 4 * 64)  # heads side by side, as rows are kept
        work.append(lambda pair=pair, x=x: link_texts(*pair).apply(x))
    times = medians(work, rounds, inner=8)
    slope = float(np.polyfit(np.log(sizes), np.log(times), 1)[0])
    by_size = {str(size): round(1e6 * s, 1) for size, s in zip(sizes, times, strict=True)}
    return {"alignment_us": by_size, "alignment_exponent": slope}


def medians(work: list[Callable[[], object]], rounds: int, inner: int = 1) -> list[float]:
    """Processor seconds of each, in turn, after one round that is not counted."""
    samples: list[list[float]] = [[] for _ in work]
    for round_ in range(rounds + 1):
        for number, each in enumerate(work):
            start = time.process_time()
            for _ in range(inner):
                each()
            if round_:
                samples[number].append((time.process_time() - start) / inner)
    return [statistics.median(times) for times in samples]


if __name__ == "__main__":
    sys.exit(main())
