"""What was asked and how often: seeds, claims and folders chosen once their results are known."""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from kvdistill import layout
from tests.bench.attacks.outcome import Outcome, judge_text
from tests.bench.attacks.studies import execute_command, pretend_run, report_root
from tests.stats import fake

TASKS = {"one": 20}
CLAIM = {"name": "F1", "text": "It is no worse", "arm": "kv", "baseline": "sft", "at_least": 0.0}
QUESTION = {
    "question": "Does it help?",
    "arms": {"sft": {"arm": "sft"}, "kv": {"arm": "single_teacher"}},
    "seeds": [42, 43, 44],
    "primary": {"arm": "kv", "baseline": "sft"},
    "hypotheses": [CLAIM],
}


def run_question(folder: Path, study: str = "s", **changes: Any) -> None:
    """Plans the question with these changes to its file, and pretends its runs."""
    sweeps = folder / "sweeps"
    sweeps.mkdir(exist_ok=True)
    (sweeps / "q.yaml").write_text(yaml.safe_dump(QUESTION | changes), encoding="utf-8")
    result = pretend_run(
        folder / "root", "sweep=q", f"study={study}", "references=false", sweeps=sweeps, tasks=TASKS
    )
    if result.error:
        raise AssertionError(result.error)


def rebuild_report(folder: Path, *overrides: str) -> str:
    """The page of `stage=report` for the study; raises AssertionError where it is refused."""
    result = execute_command(folder / "root", "stage=report", "study=s", *overrides)
    if result.error:
        raise AssertionError(result.error)
    return read_report(folder)


def read_report(folder: Path, study: str = "s") -> str:
    """The page that the last command wrote."""
    return report_root(folder / "root", study)


def list_runs(folder: Path, seed: int) -> list[Path]:
    """The run folders of a seed."""
    return sorted(layout.study_folder(folder / "root", "s").glob(f"runs/seed{seed}-*"))


def attack_09_seeds_added_until_it_wins(folder: Path) -> Outcome:
    """Three seeds are looked at, then three more are added to the same question."""
    run_question(folder)
    run_question(folder, seeds=[42, 43, 44, 45, 46, 47])
    return judge_text(
        read_report(folder), "seeds 45, 46, 47 were added after a look at 42, 43, 44",
        "judged 2 times, with 3, 6 seeds", "looked at 2 times",
    )  # fmt: skip


def attack_09_primary_swapped_after_a_look(folder: Path) -> Outcome:
    """The primary comparison is turned round once its result is known."""
    run_question(folder)
    run_question(folder, primary={"arm": "sft", "baseline": "kv"})
    return judge_text(
        read_report(folder),
        "the primary comparison was changed after a look, from kv against sft to sft against kv",
    )


def attack_09_best_seeds_picked_into_another_study(folder: Path) -> Outcome:
    """A second study takes two of three finished seeds, and leaves out the third."""
    run_question(folder, "first")
    run_question(folder, "picked", seeds=[42, 44])
    return judge_text(
        read_report(folder, "picked"),
        "of the seeds that ran in first, 42, 44 are taken and 43 left out",
    )


def attack_09_diverged_seed_replaced(folder: Path) -> Outcome:
    """A seed diverges, and another study has a fresh one in its place."""
    run_question(folder)
    for run in list_runs(folder, 43):
        (run / layout.MANIFEST).unlink()
        status = {"state": "failed", "error": "the loss is NaN", "cause": "error", "heartbeat": 1.0}
        fake.write_json(run / layout.STATUS, status)
    named = judge_text(rebuild_report(folder), "kv seed 43 failed", "seed 43 (failed)")
    if named.verdict == "passed":
        return named
    run_question(folder, "replaced", seeds=[42, 44, 45])
    return judge_text(
        read_report(folder, "replaced"), "43 left out (seed 43 failed: the loss is NaN)"
    )


def attack_09_folder_of_a_bad_seed_deleted(folder: Path) -> Outcome:
    """The folders of a seed are deleted after a look; the report must stand and name them."""
    run_question(folder)
    for run in list_runs(folder, 43):
        shutil.rmtree(run)
    result = execute_command(folder / "root", "stage=report", "study=s")
    if result.error:
        return Outcome("refused", result.error)
    return judge_text(
        read_report(folder), "kv seed 43 was finished at an earlier look; it is gone now",
        "seed 43 (gone)",
    )  # fmt: skip


def attack_09_design_of_looks_declared_afterwards(folder: Path) -> Outcome:
    """A second look is called planned once the first has been taken."""
    run_question(folder)
    return judge_text(
        rebuild_report(folder, "stats.looks=2"),
        "stats.looks=2 at the look of",
        "1 when the study was",
    )


def attack_09_only_one_arm_tuned(folder: Path) -> Outcome:
    """Three rates are tried for the new method, none for its baseline."""
    search = {"arms": {"kv": {"arm": "single_teacher"}}, "axes": {"train.lr": [3e-4, 1e-3, 3e-3]}}
    run_question(folder, "search", seeds=[7], primary=None, hypotheses=[], **search)
    run_question(folder)
    return judge_text(
        read_report(folder),
        "settings of training were tried in 3 variants for single_teacher under this root, and in "
        "1 for its baseline sft",
    )


def attack_10_headline_rewritten(folder: Path) -> Outcome:
    """The words of a claim are changed after its runs; its bound and arms are not."""
    run_question(folder)
    run_question(folder, hypotheses=[CLAIM | {"text": "It wins by far"}])
    text = read_report(folder)
    if "recorded before training ." in text:
        return Outcome("passed", "the new words are called recorded before training")
    return judge_text(
        text, "recorded before training in other words: \u201cF1 \u00b7 It is no worse\u201d",
        "was reworded after a look",
    )  # fmt: skip


def attack_10_headline_rewritten_in_the_plan(folder: Path) -> Outcome:
    """The same by an edit of plan.json, without a command."""
    run_question(folder)
    path = layout.study_folder(folder / "root", "s") / layout.PLAN
    plan = json.loads(path.read_text(encoding="utf-8"))
    plan["questions"]["q"]["hypotheses"][0]["text"] = "It wins by far"
    fake.write_json(path, plan)
    return judge_text(rebuild_report(folder), "in other words", "plan.json was edited")


def attack_10_retrained_under_a_new_claim(folder: Path) -> Outcome:
    """Results are looked at, their folders deleted, and the runs done again under a new claim."""
    run_question(folder, hypotheses=[])
    for seed in QUESTION["seeds"]:  # type: ignore[attr-defined]
        for run in list_runs(folder, seed):
            shutil.rmtree(run)
    run_question(folder, hypotheses=[CLAIM | {"at_least": -5.0}])
    return judge_text(
        read_report(folder), "post hoc: its runs had finished before", "the run made again"
    )


def attack_10_record_deleted(folder: Path) -> Outcome:
    """The record itself is deleted, so that nothing says what had been asked."""
    run_question(folder)
    layout.history_file(folder / "root").unlink()
    return judge_text(
        rebuild_report(folder),
        "No record of s: made before the root kept one",
        "in the manifests alone: the root's record does not hold it",
        "the root's record has no more",
    )
