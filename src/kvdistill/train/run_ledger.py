"""The ledger of a run: what it read, computed and stored, and when it converged."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.config.compose import Config
from kvdistill.config.schema import Budget, read_group
from kvdistill.data.collate import TextDataset
from kvdistill.data.sampler import select_evenly
from kvdistill.files import read_sealed
from kvdistill.geometry import Geometry
from kvdistill.models.adapter import Adapter
from kvdistill.plan import flops
from kvdistill.plan.budget import global_batch, unified_steps
from kvdistill.plan.graph import find_store_spec
from kvdistill.plan.matching.run_flops import count_capture_flops, count_read_flops
from kvdistill.plan.teaching.signals import matches_kv
from kvdistill.train.curves import OWN, WRITTEN, ReadCounts
from kvdistill.train.inputs import select_answers
from kvdistill.train.trainer import DistillTrainer

OWN_FLOPS = ("training_flops", "writing_flops")
"""Of a student's own texts, as the ledger has them."""
RATED_TEXTS = 256
"""Texts on which the alignment's coverage is measured."""
CONVERGED_SHARE = 0.9
"""Share of the final score at which a run counts as converged."""
SCORES = ("macro", "exact_match")
"""Columns of the validation lines that say how well a student does, the preferred one first."""


def compute_run_ledger(
    trainer: DistillTrainer,
    counts: ReadCounts,
    config: Config,
    needs: Mapping[str, Path],
    texts: TextDataset,
    adapter: Adapter,
) -> dict[str, Any]:
    """Steps, texts, tokens, FLOPs, bytes and seconds of a trained run.

    `counts` are of all ranks; seconds and peak memory are rank 0's.
    """
    budget: Budget = read_group("budget", config["budget"])
    steps, curves = unified_steps(budget), trainer.curves
    return {
        "steps": steps,
        "sequences": counts.sequences,
        "planned_tokens": steps * global_batch(budget) * budget.seq_len,
        "real_tokens": counts.loads["student"].tokens,
        "teacher_tokens": {
            name: counts.loads[name].tokens for name in config["teachers"] if name in counts.loads
        },
        "texts": texts.digest,
        "epochs": counts.sequences / len(texts),
        "truncated_texts": texts.count_truncated(),
        "unanswered_texts": texts.count_unanswered(),
        "alignment": rate_alignment(config, texts),
        **count_flops(counts, config, adapter),
        **summarise_stores(config, needs),
        **summarise_answers(needs, texts),
        "train_s": curves.train_seconds,
        "peak_bytes": curves.peak_bytes,
        "speed": curves.summarize_speed(),
        "device": " and then ".join(curves.devices),
        "convergence": find_convergence(curves.path),
    }


def rate_alignment(config: Config, texts: TextDataset) -> dict[str, Any]:
    """By teacher what its alignment covers and leaks; nothing where no K and V are matched."""
    if not matches_kv(config):
        return {}
    rows = select_evenly(len(texts), RATED_TEXTS)
    return {name: each.compute_rates() for name, each in texts.report_alignment(rows).items()}


def summarise_stores(config: Config, needs: Mapping[str, Path]) -> dict[str, Any]:
    """Bytes of the stores that a run reads; by store, what filling it took, once for all runs."""
    roles = [f"{kind}.{name}" for name in config["teachers"] for kind in ("kv", "states")]
    stores = {
        needs[role].name: read_sealed(needs[role] / layout.MANIFEST)
        for role in roles
        if role in needs
    }
    return {
        "stored_bytes": sum(store["stored_bytes"] for store in stores.values()),
        "store_flops": {name: store.get("flops") for name, store in stores.items()},
    }


def summarise_answers(needs: Mapping[str, Path], texts: TextDataset) -> dict[str, Any]:
    """By teacher what it wrote, how much of that was trained on, and what writing it took, once.

    Empty where the answers are gold.
    """
    facts = {}
    for role, folder in select_answers(needs).items():
        made = read_sealed(folder / layout.MANIFEST)
        trained_on = sum(text.id.endswith(f"@{role}") for text in texts.texts)
        keys = ("answers", "right_share", "mean_tokens", "cut", "empty", "flops")
        facts[role] = {"artifact": folder.name, "trained_on": trained_on} | {
            key: made[key] for key in keys
        }
    return {"answers": facts} if facts else {}


def count_flops(counts: ReadCounts, config: Config, adapter: Adapter) -> dict[str, Any]:
    """FLOPs of the student and of the teachers, on the tokens that were really read.

    Of a stored teacher only its head costs anything here, where logits are asked for: its store's
    own forward is shared by every run that reads it. `stored_teacher_flops` is what reading it anew
    with every batch would have cost.
    """
    loads, student = counts.loads, Geometry.from_node(config["student"])
    student_flops = flops.training_flops(student, loads["student"], frozen=adapter.frozen)
    if config["train"]["gradient_checkpointing"]:
        student_flops += flops.recomputation_flops(student, loads["student"])
    own_facts = summarise_own_texts(counts, config, adapter)
    student_flops += sum(own_facts.get("on_policy", {}).get(key, 0) for key in OWN_FLOPS)
    live = stored = 0
    for name, node in config["teachers"].items():
        total = count_capture_flops(config, node, loads[name])
        own = total
        if find_store_spec(config["source"]) is not None:
            own = count_read_flops(config, node, loads[name])
        live, stored = live + own, stored + total - own
    return {
        "student_flops": student_flops,
        "teacher_flops": live,
        "stored_teacher_flops": stored,
        **own_facts,
    }


def summarise_own_texts(
    counts: ReadCounts, config: Config, adapter: Adapter
) -> dict[str, dict[str, int]]:
    """Tokens that the student wrote for its teachers, and what writing and training on them took.

    Both are part of `student_flops`. Empty where it wrote none.
    """
    if OWN not in counts.loads:
        return {}
    student, own = Geometry.from_node(config["student"]), counts.loads[OWN]
    trained = flops.training_flops(student, own, frozen=adapter.frozen)
    if config["train"]["gradient_checkpointing"]:
        trained += flops.recomputation_flops(student, own)
    written = flops.forward_flops(student, counts.loads[WRITTEN])
    facts = {"tokens": own.tokens, **dict(zip(OWN_FLOPS, (trained, written), strict=True))}
    return {"on_policy": facts}


def find_convergence(path: Path) -> dict[str, Any] | None:
    """When a validation score first reached CONVERGED_SHARE of the last one; None where that is 0.

    `path` is the run's curves. `step` and `train_s` are those of the validation that reached it.
    """
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for score in SCORES:
        scored = [line for line in lines if line["split"] == "val" and score in line]
        # One validation alone says nothing of when.
        if len(scored) > 1 and scored[-1][score] > 0:
            threshold = CONVERGED_SHARE * scored[-1][score]
            first = next(line for line in scored if line[score] >= threshold)
            return {"score": score, "step": first["step"], "train_s": first["train_s"]}
    return None
