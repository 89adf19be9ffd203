"""Every question, at every scale: composes, builds on meta tensors, plans; its claims are sound."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.models.gguf_files import write_qwen_headers, write_smollm2_header

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
CONF, FOLDER = ROOT / "conf", ROOT / "sweeps"
SCALES = sorted(path.stem for path in (CONF / "scale").glob("*.yaml"))
SWEEPS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
ONE_SCALE = {
    "miniature": "nano", "miniature_rate": "nano", "tuned_miniature": "nano",
    "signals_tuned": "nano", "what_teaches": "nano",
    "second_teacher": "nano", "recovery": "smollm",
    "second_smollm": "smollm", "qwen_signals": "qwen", "qwen_short": "qwen",
    "qwen_short_signals": "qwen",
}  # fmt: skip
"""Questions of a student cut from its teacher, or of teachers that no other scale has."""
OWN_QUESTIONS = {"qwen"}
"""Scales without sizes of one family, whose questions are files of their own."""
SETS = {"ablation_teacher_count", "ablation_teacher_family", "best_teacher", "which_teacher"}
SINGLE = [
    "scale", "student", "budget", "tasks", "data", "train", "cluster",
    "stats", "estimate"]  # fmt: skip


def list_scale_overrides(scale: str, sweep: str, folder: Path) -> list[str]:
    """What a scale asks for: real weights and rows, and more where a teacher is no parent."""
    if scale not in {"smollm", "qwen"}:
        return []
    (folder / "gsm8k/main").mkdir(parents=True, exist_ok=True)
    (folder / "gsm8k/main/train.jsonl").write_text('{"question": "q", "answer": "a #### 1"}\n')
    if scale == "qwen":
        write_qwen_headers(folder)
        return [f"models={folder}", f"benchmarks={folder}"]
    if not list(folder.glob("*.gguf")):
        write_smollm2_header(folder)
    wider = ["projection=ridge", "layers/map=proportional"] if sweep in SETS else []
    return [f"smollm2={folder}", f"benchmarks={folder}", *wider]


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    ("sweep", "scale"),
    [
        (sweep, scale)
        for sweep in SWEEPS
        for scale in SCALES
        if sweep != "everything" and ONE_SCALE.get(sweep, scale) == scale
        if scale not in OWN_QUESTIONS or sweep in ONE_SCALE
    ],
)
def test_every_question_composes_builds_and_plans(sweep: str, scale: str, tmp_path: Path) -> None:
    from kvdistill.plan.expand import expand_command
    from kvdistill.plan.identity import hash_science
    from kvdistill.plan.pin import assume_commits
    from kvdistill.stats.claims.names import check_claim_names
    from kvdistill.stats.differences.settings import compare_settings
    from kvdistill.train.preflight import check_run_config

    overrides = [
        f"sweep={sweep}",
        f"scale={scale}",
        "stage=plan",
        *list_scale_overrides(scale, sweep, tmp_path),
    ]
    plan = expand_command([overrides], FOLDER)
    check_claim_names(plan)
    trained = [run.config for run in plan.runs.values() if run.config["trained"]]
    assert len(plan.list_unified_steps()) == 1
    for config in {hash_science({**c, "seed": 0, "arm": ""}): c for c in trained}.values():
        check_run_config(assume_commits(config))
    (question,) = plan.questions.values()
    for one, other in itertools.combinations(question.arms, 2):
        pair = [plan.runs[next(iter(question.arms[each].values()))].config for each in (one, other)]
        declared = [*question.declared[one], *question.declared[other]]
        assert not [str(d) for d in compare_settings(*pair, declared) if not d.declared]
    assert_claims_are_sound(
        question, [*question.arms, *(f"teacher {name}" for name in plan.references)]
    )


def assert_claims_are_sound(question: Any, labels: list[str]) -> None:
    """Every claim is one, and names arms of this question or teachers of this plan."""
    from kvdistill.report.sections.ablations import PAINTERS
    from kvdistill.stats.hypotheses import parse_claim

    claims = [parse_claim(node) for node in question.judging.get("hypotheses", [])]
    claims += [parse_claim(node) for node in question.judging.get("criteria", [])]
    named = {one.arm for one in claims} | {one.baseline for one in claims if one.baseline}
    assert named <= set(labels)
    assert set(question.judging.get("primary", {}).values()) <= set(question.arms)
    assert set(question.judging.get("primary", {})) <= {"arm", "baseline"}
    assert question.judging.get("figure") in {None, *PAINTERS}


APART = {"planted", "presses", "best_teacher", *ONE_SCALE}
"""Asked of the platform itself, of one scale, after trials of its own, or beside the study."""


def test_everything_is_every_question_of_the_study() -> None:
    listed = yaml.safe_load((FOLDER / "everything.yaml").read_text("utf-8"))["sweeps"]
    assert sorted(listed) == [name for name in SWEEPS if name not in {"everything", *APART}]


@pytest.mark.usefixtures("hydra")
def test_everything_shares_what_two_questions_have_in_common() -> None:
    from kvdistill.plan.expand import expand_command

    # The scale is named, as above, so that what was composed there serves here.
    plan = expand_command([["sweep=everything", "scale=nano"]], FOLDER)
    arms_by_question = [list(q.arms.values()) for q in plan.questions.values()]
    before = sum(len(set(seeds.values())) for arms in arms_by_question for seeds in arms)
    planned = {run for arms in arms_by_question for seeds in arms for run in seeds.values()}
    assert len(planned) < before
    arms = {name: question.arms for name, question in plan.questions.items()}
    learnable = arms["treatments"]["learnable"]
    assert arms["ablation_layers"]["all"] == learnable
    assert arms["ablation_compression"]["right"] == arms["matrix"]["right"] == learnable
    assert arms["ablation_teacher_family"]["same_family"] == arms["ablation_teacher_count"]["two"]
    assert arms["baselines"]["single_teacher"] == arms["treatments"]["single_teacher"]
    assert arms["controls"]["multi_teacher"] == arms["three_stage"]["fixed"]


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("group", SINGLE)
def test_every_plain_choice_composes_and_plans(group: str, tmp_path: Path) -> None:
    from kvdistill.plan.expand import expand_command

    for path in sorted((CONF / group).glob("*.yaml")):
        rows = tmp_path / "rows.jsonl"
        rows.write_text('{"question": "q", "rationale": "r", "answer": "1"}\n')
        small = list_scale_overrides("smollm", "", tmp_path)
        real = list_scale_overrides("qwen", "", tmp_path)
        more = {
            "custom": ["budget.total_tokens=819200"],
            "zero2": ["budget.num_gpus=2"],
            "jsonl": [f"data.source.path={rows}"],
            "messages": [f"data.source.path={rows}", "style=direct"],
            "sharegpt": [f"data.source.path={rows}", "style=direct"],
            "gsm8k": ["scale=smollm", *small] if group == "data" else [],
            "smollm2_half": ["scale=smollm", *small],
            "smollm": small if group == "scale" else [],
            "qwen": real if group == "scale" else [],
            "qwen2_5_coder_0_5b": ["scale=qwen", *real],
        }.get(path.stem, [])
        assert expand_command([[f"{group}={path.stem}", "stage=plan", *more]], FOLDER).runs


def test_every_scale_has_every_role() -> None:
    """So that one file of teachers/ serves all scales; a set of one scale names its own."""
    named = {
        node
        for path in (CONF / "teachers").glob("*.yaml")
        for entry in (yaml.safe_load(path.read_text("utf-8")) or {}).get("defaults", [])
        for node in entry.values()
    }
    for scale in SCALES:
        own = {node.replace("${scale}", scale) for node in named}
        made = {f"{scale}/{path.stem}" for path in (CONF / "teacher" / scale).glob("*.yaml")}
        assert made == {node for node in own if node.startswith(f"{scale}/")}
