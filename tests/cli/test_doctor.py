"""The check list: every line says ok or how to mend it, and the exit code says it too."""

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SWEEPS = ROOT / "sweeps"
pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("hydra")]


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty local cache, and a hub that cannot be reached; returns the cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    # For the process that reads the sources.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def _ask_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs torch answers in this process, which has it; tests/cluster has the other ways."""
    from kvdistill.cli.checks import access_checks
    from kvdistill.cluster import preflight
    from kvdistill.cluster.run_module import make_answer, unpack_answer

    def call_here(module: str, function: str, argument: Any, **_: str) -> Any:
        answer = make_answer(module, function, json.loads(json.dumps(argument)))
        return unpack_answer(module, json.loads(json.dumps(answer)))

    monkeypatch.setattr(access_checks, "call_in_new_process", call_here)
    for way in ("call_in_new_process", "call_in_server_process"):
        monkeypatch.setattr(preflight, way, call_here)


def examine_command(*overrides: str) -> tuple[list[Any], str]:
    """The findings, and the error that the exit code comes from (empty: none)."""
    from kvdistill.cli import doctor
    from kvdistill.errors import UserError

    seen: list[Any] = []
    error = ""
    with pytest.MonkeyPatch.context() as patch:
        real = doctor.tabulate_findings
        patch.setattr(
            doctor, "tabulate_findings", lambda findings: seen.extend(findings) or real(findings)
        )
        try:
            doctor.doctor_command([["stage=doctor", *overrides]], SWEEPS)
        except UserError as caught:
            error = str(caught)
    return seen, error


def plan_command(*overrides: str) -> Any:
    from kvdistill.plan.expand import expand_command

    return expand_command([["stage=doctor", *overrides]], SWEEPS)


def test_a_nano_study_is_ready(tmp_path: Path) -> None:
    findings, error = examine_command("sweep=baselines", f"root={tmp_path}")
    assert error == ""
    assert [item for item in findings if item.mend] == []
    names = {item.check.split()[0] for item in findings}
    assert names == {
        "baselines", "arms", "seeds", "task", "data", "weights", "tokenizer", "cluster", "paths",
        "caches", "figures",
    }  # fmt: skip
    assert not list(tmp_path.iterdir()) or [p.name for p in tmp_path.iterdir()] == ["cache"]


def test_the_papers_scale_without_a_network_says_what_is_missing(tmp_path: Path) -> None:
    findings, error = examine_command("scale=paper", "sweep=baselines", f"root={tmp_path}")
    bad = {item.check: item for item in findings if item.mend}
    assert error == f"{len(bad)} of {len(findings)} checks found a problem."
    assert {"weights qwen2.5-7b", "task gpqa", "cluster"} <= set(bad)
    assert not {"baselines", "arms", "seeds"} & set(bad)
    assert "stage=fetch" in bad["weights qwen2.5-7b"].mend
    assert "runs ask for 8 GPUs and this machine has" in bad["cluster"].found


def test_what_a_room_refuses_is_a_line_of_the_list(tmp_path: Path) -> None:
    findings, error = examine_command("projection=identity", f"root={tmp_path}")
    bad = {item.check: item.found for item in findings if item.mend}
    assert "projection=identity needs equal KV shapes" in bad["arms"]
    assert "projection=identity" in bad["baselines"]
    assert error.startswith("3 of "), bad  # and one seed alone


def test_steps_that_follow_from_equal_flops_are_no_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from kvdistill.cli.checks import plan_checks

    monkeypatch.setattr(plan_checks, "build_rooms", lambda _: None)
    (finding,) = plan_checks.check_arm_builds(plan_command("sweep=equal_flops"))
    assert finding.mend == ""
    assert "300 steps each; equal_flops: " in finding.found


def test_one_seed_is_a_problem() -> None:
    from kvdistill.cli.checks.plan_checks import check_seeds

    (finding,) = check_seeds(plan_command("sweep=baselines", "seed=42"))
    assert finding.mend
    assert "42 alone" in finding.found
    assert not any(item.mend for item in check_seeds(plan_command("sweep=baselines")))


def test_local_copies_of_the_tasks_are_read_with_rows_and_columns(tmp_path: Path) -> None:
    from kvdistill.cli.checks.access_checks import check_sources

    rows = {
        "gsm8k/main/test.jsonl": '{"question": "1 + 1?", "answer": "#### 2"}\n',
        "math500/test.jsonl": '{"prompt": "x"}\n',
        "ceval/accountant/val.jsonl": "{}\n",
    }
    for place, text in rows.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    plan = plan_command("tasks=seven_zero", f"tasks.data_root={tmp_path}")
    findings = {item.check.split()[-1]: item for item in check_sources(plan)}
    assert findings["gsm8k_zero"].found.startswith("1 test rows below")
    assert findings["gsm8k_zero"].found.endswith("columns question, answer")
    assert "row 1: no problem and no answer and no subject" in findings["math500_zero"].found
    assert "copy or fetch it again" in findings["math500_zero"].mend
    assert "no gpqa/gpqa_main/train.jsonl there" in findings["gpqa_zero"].found
    assert findings["ceval"].mend


def test_a_task_that_the_data_cannot_feed_is_a_problem(tmp_path: Path) -> None:
    from kvdistill.cli.checks.access_checks import check_tasks

    rows = tmp_path / "mine.jsonl"
    rows.write_text('{"question": "q", "rationale": "r", "answer": "a"}\n')
    own = ("arm=sft", "data=jsonl", f"data.source.path={rows}")
    findings = {item.check: item for item in check_tasks(plan_command(*own))}
    assert "tasks=own" in findings["task nano_logic"].mend
    assert not findings["task test_questions"].mend


def test_every_task_file_says_where_its_items_are() -> None:
    from kvdistill.plan.task_files import TASKS, read_task_metadata

    for path in TASKS.glob("*.yaml"):
        if not path.stem.endswith("_direct"):
            where = read_task_metadata(path.stem)
            assert where is not None
            assert "split" in where


def test_a_tokenizer_that_hides_its_bytes_does_not_pair(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from kvdistill.data.check_tokenizers import find_faults

    plain = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1, "[EOS]": 2}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="[EOS]").save_pretrained(tmp_path)
    node = {"_target_": "kvdistill.models.pretrained.Pretrained", "path": str(tmp_path)}
    assert find_faults({"teachers.a": node})["teachers.a"].startswith("teachers.a")


def test_a_root_that_cannot_be_written_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.cli.checks import plan_checks

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(plan_checks.tempfile, "NamedTemporaryFile", refuse)
    (finding,) = plan_checks.check_disk(Path("/nowhere/below"), plan_command())
    assert finding.mend == "Give a root that can be written."


def test_a_root_without_room_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from kvdistill.cli.checks import plan_checks

    monkeypatch.setattr(plan_checks.run_cost, "read_free_bytes", lambda _: 1)
    (finding,) = plan_checks.check_disk(tmp_path, plan_command())
    assert finding.mend == "Give a root with more room."


def test_figures_that_cannot_be_drawn_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.cli.checks.plan_checks import check_figures
    from kvdistill.report.figures import style

    assert not next(iter(check_figures())).mend

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr(style, "render_figure", fail)
    assert next(iter(check_figures())).found == "RuntimeError: no font"
