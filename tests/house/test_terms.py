"""What a newcomer would search for leads to a file, a choice or a public name."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("src/**/*.py", "conf/**/*.yaml", "sweeps/*.yaml", "docs/*.md")
TERMS = """
adapter, alignment, all reduce, baselines, bootstrap, budget, builtin, calibration, cancel,
capture, chat, checkpoint, cluster, code snapshot, collate, compose, compression,
confidence interval, cross entropy, data, deduplicate, distributed, doctor, dry run, entropy,
evaluate, export, few shot, fingerprint, flops, forest, forkserver, fusion, geometry, gguf,
gradient checkpointing, gradient norm, graders, gqa, gram, harness, heatmap, help, holm, hub,
hydra override, identity, item, job array, key, kv cache, kv store, layer map, layer pruning,
leakage, learnable, lm eval, lora, loss, macro average, manifest, mcnemar, memory, model card,
moments, ngram, nonfinite, normalise, padding, placement, plan, post rope, power, preemption,
preflight, preregistration, procrustes, projection, quantise, rank, redact, rendezvous, report,
requeue, response cache, resume, retry, ridge, rope, rotary, router, sampler, sanitise, sbatch,
schema, seed, shuffled, slurm, smooth l1, snapshot, split, status, student, style, submit, suite,
sweep, teacher, throughput, tokenizer, tokenise, trainer, training arguments, truncate,
unified steps, validation, verdict, vllm, warmup, weights, world size, zero3
"""


@cache
def index() -> dict[str, list[str]]:
    """Name without separators, in small letters -> where it stands."""
    places: dict[str, list[str]] = defaultdict(list)
    for pattern in FILES:
        for path in sorted(ROOT.glob(pattern)):
            where = path.relative_to(ROOT).as_posix()
            places[squash(path.stem)].append(where)
            if path.suffix == ".py":
                for name in public_names(ast.parse(path.read_text("utf-8"))):
                    places[squash(name)].append(f"{where}: {name}")
    return places


def public_names(tree: ast.Module) -> list[str]:
    """Functions, classes, methods, fields and constants that no underscore hides."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
    return [name for name in names if not name.startswith("_")]


def squash(name: str) -> str:
    """The name's letters and digits, small."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def search(term: str) -> list[str]:
    """Places whose name holds the term."""
    return [each for name, places in index().items() if squash(term) in name for each in places]


@pytest.mark.parametrize("term", [term.strip() for term in TERMS.split(",")])
def test_a_term_leads_to_a_name(term: str) -> None:
    assert search(term)


def test_nonsense_leads_nowhere() -> None:
    assert not search("flux capacitor")
