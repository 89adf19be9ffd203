"""Generated studies on disk: what training and evaluation would have written, with known truth."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kvdistill.files import write_sealed
from kvdistill.history import append_event
from kvdistill.plan.frozen_recipe import seal_recipe
from kvdistill.plan.identity import ROOMS

TASKS = {
    "nano_arithmetic": 60,
    "nano_algebra": 50,
    "nano_logic": 70,
    "nano_choice": 40,
    "nano_truth": 50,
    "nano_chinese": 60,
    "nano_exam": 50,
}
DEVICE = "a CPU, 2 threads"
VALIDATION_ROWS = 40
LEDGER = {"steps": 40, "sequences": 640, "real_tokens": 9000}
CHANCE = {"nano_choice": 0.25, "nano_truth": 0.25, "nano_chinese": 0.25, "nano_exam": 0.25}


def short_hash(text: str) -> str:
    """A short stable hash."""
    return hashlib.sha256(text.encode()).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Strict JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, allow_nan=False, ensure_ascii=False), encoding="utf-8")


def make_item_frame(
    correct: Mapping[str, Sequence[float]], subjects: int = 0, texts: bool = False
) -> pd.DataFrame:
    """Rows of items.parquet for the given correctness by task."""
    frames = []
    for task, values in correct.items():
        ids = [f"{task}-{i:05d}" for i in range(len(values))]
        if subjects:
            ids = [f"subject {i % subjects}/{i}" for i in range(len(values))]
        frame = pd.DataFrame(
            {
                "task": task,
                "item": ids,
                "doc_hash": [short_hash("doc" + i) for i in ids],
                "prompt_hash": [short_hash("prompt" + i) for i in ids],
                "correct": np.asarray(values, dtype=float),
                "unparsed": False,
                "truncated": False,
                "empty": False,
            }
        )
        if texts:
            frame["question"] = [f"Question {i}?" for i in ids]
            frame["target"] = "42"
            frame["response"] = [f"The answer of {i}" for i in ids]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def make_config(label: str, *, seed: int = 42, trained: bool = True) -> dict[str, Any]:
    """A frozen config with all that its science is made of; labels differ in `fusion` alone."""
    rooms = {room: {"_target_": f"fake.{room}"} for room in ROOMS}
    return {
        "arm": label.split()[0],
        "trained": trained,
        "seed": seed,
        "student": {"name": "small", "geometry": {"layers": 4}},
        "teachers": {"a": {"name": "big", "geometry": {"layers": 8}}},
        "data": {"source": {"rows": 100}},
        "tasks": {"tasks": list(TASKS)},
        **rooms,
        "fusion": {"_target_": "fake.fusion", "of": label},
        "budget": {
            "total_tokens": 40960, "batch_size": 16, "seq_len": 64, "num_gpus": 1, "grad_accum": 1,
        },
        "loss": {"_target_": "fake.loss", "ce_weight": 1.0, "kv_weight": 1.0},
        "train": {
            "lr": 0.001, "weight_decay": 0.0, "lr_scheduler_type": "cosine", "max_grad_norm": 1.0,
            "bf16": False,
        },
        "choices": {"arm": label.split()[0], "fusion": label, "student": "small", "train": "debug"},
    }  # fmt: skip


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """The config as the plan freezes it."""
    folder.mkdir(parents=True, exist_ok=True)
    frozen = {"kind": "run", "needs": {}, "recipe": dict(config)}
    (folder / "config.yaml").write_text(seal_recipe(frozen), encoding="utf-8")


def write_run(
    folder: Path,
    correct: Mapping[str, Sequence[float]],
    *,
    trained: bool = True,
    steps: int = 40,
    rng: np.random.Generator | None = None,
    extra: Mapping[str, Any] | None = None,
    frame: pd.DataFrame | None = None,
    routing: Mapping[str, Mapping[str, float]] | None = None,
    kv_floor: float = 0.3,
    config: Mapping[str, Any] | None = None,
) -> None:
    """One finished run folder."""
    rng = rng or np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    items = make_item_frame(correct) if frame is None else frame
    items.to_parquet(folder / "items.parquet")
    scores = {
        task: {
            "metric": "exact_match",
            "score": float(np.mean(values)),
            "n": len(values),
            "stderr": None,
            "chance": CHANCE.get(task, 0.0),
            "unparsed": 0.02,
            "truncated": 0.0,
            "empty": 0.0,
        }
        for task, values in correct.items()
    }
    write_json(
        folder / "results.json",
        {
            "schema_version": 1,
            "tasks": scores,
            "macro": float(np.mean([s["score"] for s in scores.values()])),
            "missing": [],
            "efficiency": {
                "wall_time_s": 60.0 + float(rng.normal()),
                "steps_per_s": 5.0,
                "student_parameters": 200000,
                "device": DEVICE,
            },
        },
    )
    write_config(folder, config or make_config(folder.name, trained=trained))
    if trained:
        lines = []
        for step in range(0, steps + 1, 2):
            for split in ("train", "val"):
                kv = kv_floor + np.exp(-step / 12) + 0.02 * rng.normal() + 0.03 * (split == "val")
                line = {"step": step, "split": split, "loss": kv + 1, "ce": 1 + np.exp(-step / 9)}
                line |= {"kv": kv, "k": kv / 2, "v": kv / 2, "entropy": 0.6}
                line |= {f"{part}_nmse": 1.2 * kv for part in ("kv", "k", "v")}
                if step % 10 == 0:
                    line["macro"] = 0.3 + 0.2 * (1 - np.exp(-step / 15)) - 0.02 * (split == "val")
                    line["nano_logic"] = line["macro"] + 0.05
                lines.append(
                    json.dumps({k: float(v) if k != "split" else v for k, v in line.items()})
                )
        (folder / "curves.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        write_validation_texts(folder, json.loads(lines[-1]), rng)
    if routing:
        weights = {
            task: {teacher: {str(layer): w for layer in range(4)} for teacher, w in node.items()}
            for task, node in routing.items()
        }
        write_json(folder / "routing.json", {"schema_version": 1, "weights": weights})
    write_json(folder / "status.json", {"schema_version": 1, "state": "done"})
    write_sealed(
        folder / "manifest.json",
        {"schema_version": 1, "files": {}, "git": {"commit": "0" * 40}}
        | ({"ledger": LEDGER | {"steps": steps}} if trained else {})
        | dict(extra or {}),
    )


def write_validation_texts(
    folder: Path,
    last: Mapping[str, Any],
    rng: np.random.Generator,
    rows: int = VALIDATION_ROWS,
    digest: str = "0123456789ab",
) -> None:
    """validation_texts.json whose texts, hard and easy alike in all runs, give the last line."""
    hard = np.random.default_rng(0).lognormal(0, 0.3, size=rows)
    columns = {}
    for name in ("ce", "kv_nmse", "k_nmse", "v_nmse"):
        if name in last:
            spread = hard * rng.lognormal(0, 0.05, size=rows)
            columns[name] = (
                last[name] * spread / spread.mean() * (10 if name == "ce" else 1)
            ).tolist()
    write_json(
        folder / "validation_texts.json",
        {
            "schema_version": 1,
            "digest": digest,
            "ids": [f"row-{i}:cot" for i in range(rows)],
            "tokens": [10] * rows,
            **columns,
        },
    )


def draw_answers(
    rng: np.random.Generator,
    level: float,
    *,
    tasks: Mapping[str, int] = TASKS,
    difficulty: Mapping[str, np.ndarray] | None = None,
    seed_sd: float = 0.0,
) -> dict[str, np.ndarray]:
    """Right and wrong answers: an item's difficulty, the arm's level, a shift a seed."""
    shift = seed_sd * rng.normal()
    answers_by_task = {}
    for task, n in tasks.items():
        hard = difficulty[task] if difficulty else np.zeros(n)
        answers_by_task[task] = (level + shift + hard + rng.normal(size=n) > 0).astype(float)
    return answers_by_task


def draw_difficulties(tasks: Mapping[str, int] = TASKS, seed: int = 0) -> dict[str, np.ndarray]:
    """A fixed difficulty an item."""
    rng = np.random.default_rng(seed)
    return {task: rng.normal(size=n) for task, n in tasks.items()}


def record_claims(
    root: Path, name: str, runs: Iterable[str], registration: Mapping[str, Any]
) -> None:
    """The line of the root's record with which these runs' claims were written down."""
    claims = [dict(claim) for claim in registration["claims"]]
    groups = [{"claims": [claim["sha256"] for claim in claims], "runs": list(runs)}]
    append_event(root, name, "claimed", claims=claims, groups=groups)


def write_study(
    root: Path,
    questions: Mapping[str, Mapping[str, float]],
    *,
    name: str = "nano",
    seeds: Sequence[int] = (42, 43, 44),
    tasks: Mapping[str, int] = TASKS,
    untrained: Sequence[str] = ("raw_student",),
    unfinished: Sequence[tuple[str, int]] = (),
    judged: Mapping[str, Mapping[str, Any]] | None = None,
    teachers: Mapping[str, float] | None = None,
    subjects: int = 0,
    texts: bool = False,
    extra: Mapping[str, Any] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    declared: Sequence[str] = ("arm", "fusion", "trained"),
) -> Path:
    """A whole study of `question -> arm -> level`; returns its folder.

    `settings` is by label what of its config is set otherwise, a group at a time; `declared` what
    every arm says that it sets.
    """
    study = root / "runs" / name
    hard = draw_difficulties(tasks)
    plan: dict[str, Any] = {"schema_version": 1, "study": name, "questions": {}, "runs": {}}
    plan["references"] = {}
    identities: dict[str, str] = {}

    def write_run_once(label: str, seed: int, level: float, trained: bool) -> str:
        key = f"{label}/{seed if trained else 0}"
        if key in identities:
            return identities[key]
        identity = short_hash(key)[:12]
        identities[key] = identity
        folder = study / "runs" / f"seed{seed}-{identity}"
        rng = np.random.default_rng([seed if trained else 0, int(identity[:8], 16)])
        node = {"folder": str(folder.relative_to(root)), "arm": label.split()[0], "seed": seed}
        node |= {
            "recipe": short_hash(label)[:12],
            "trained": trained,
            "steps": 40 if trained else 0,
        }
        plan["runs"][identity] = node
        if (label, seed) in unfinished:
            write_json(folder / "status.json", {"schema_version": 1, "state": "running"})
            return identity
        correct = draw_answers(rng, level, tasks=tasks, difficulty=hard, seed_sd=0.03)
        routing = None
        if "learnable" in label:
            tilt = {task: 0.5 + 0.3 * np.sin(i) for i, task in enumerate(tasks)}
            routing = {t: {"qwen": float(w), "llama": float(1 - w)} for t, w in tilt.items()}
        write_run(
            folder,
            correct,
            trained=trained,
            rng=rng,
            routing=routing,
            extra=extra,
            frame=make_item_frame(correct, subjects, texts) if subjects or texts else None,
            config=make_config(label, seed=seed, trained=trained) | (settings or {}).get(label, {}),
        )
        return identity

    for question, arms in questions.items():
        plan["questions"][question] = {
            "question": f"What does {question} bring?",
            **(judged or {}).get(question, {}),
            "declared": {label: list(declared) for label in arms},
            "arms": {
                label: {
                    str(s): write_run_once(label, s, level, label not in untrained) for s in seeds
                }
                for label, level in arms.items()
            },
        }
    for teacher, level in (teachers or {}).items():
        plan["references"][teacher] = write_run_once(f"teacher {teacher}", 0, level, False)
    write_json(study / "plan.json", plan)
    if registration := (extra or {}).get("hypotheses"):
        record_claims(root, name, plan["runs"], registration)
    arms = [label for question in questions.values() for label in question]
    rows = [
        {
            "label": arm,
            "steps": 0 if arm in untrained else 40,
            "sequences": 640,
            "real_tokens": 9000,
            "planned_tokens": 9600,
        }
        for arm in dict.fromkeys(arms)
    ]
    write_json(study / "budget.json", {"schema_version": 1, "arms": rows})
    write_json(
        study / "validation_report.json",
        {
            "schema_version": 1,
            "verdict": "disjoint",
            "pairs": [
                {
                    "pair": "train_student x test",
                    "method": "exact",
                    "n_checked": 100,
                    "n_hits": 0,
                    "severity": "blocking",
                }
            ],
        },
    )
    return study
