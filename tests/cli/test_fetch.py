"""stage=fetch and stage=doctor name each source that is not to be had, and what helps."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.hub_server import HubServer, make_commit, open_hub, write_csv, write_lines, write_parquet

pytestmark = pytest.mark.usefixtures("hydra")
SWEEPS = Path(__file__).parents[2] / "sweeps"
GSM8K = [
    {"question": f"How much is {n} and {n}?", "answer": f"Twice.\n#### {2 * n}"} for n in range(9)
]
GPQA = ["Question", "Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3))]
SUITE = "tasks.tasks=[gsm8k,math500_zero,gpqa]"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with GSM8K, GPQA behind its gate, and MATH-500 in columns that it never had."""
    with open_hub(tmp_path, monkeypatch, gated=("Idavidrein/gpqa",)) as server:
        for split in ("train", "test"):
            place = server.folder / f"openai/gsm8k/main/{split}-00000-of-00001.parquet"
            write_parquet(place, GSM8K)
        write_lines(server.folder / "HuggingFaceH4/MATH-500/test.jsonl", [{"prompt": "x"}])
        write_csv(server.folder / "Idavidrein/gpqa/gpqa_main.csv", [dict.fromkeys(GPQA, "x")])
        # For the process that reads the sources.
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        yield server


@pytest.fixture
def same_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads the sources here, not in a process that imports its readers first."""
    from kvdistill.cli import fetch
    from kvdistill.cli.checks import access_checks
    from kvdistill.evaluate.examine_sources import examine_sources

    for module in (access_checks, fetch):
        monkeypatch.setattr(module, "call_in_new_process", lambda *of: examine_sources(of[2]))


def plan_command(*overrides: str) -> Any:
    from kvdistill.plan.expand import expand_command

    arms = ["arm=raw_student", "references=false", "tasks=seven", "tasks.beside=[]"]
    rest = ["tasks.limit=null", "~tasks.shots.bbh", "~tasks.shots.cmmlu", "~tasks.shots.ceval"]
    return expand_command([[*arms, *rest, "~tasks.shots.math500", SUITE, *overrides]], SWEEPS)


def examine(plan: Any) -> Mapping[str, Any]:
    from kvdistill.cli.checks.access_checks import check_sources

    return {item.check: item for item in check_sources(plan)}


@pytest.mark.usefixtures("same_process")
def test_each_source_has_its_rows_columns_and_commit_or_its_cause_and_its_own_way_out(
    hub: HubServer,
) -> None:
    findings = examine(plan_command("stage=doctor"))
    commit = make_commit(hub.folder / "openai/gsm8k")[:8]
    assert findings["task gsm8k"].found == (
        f"9 test and 9 train rows of openai/gsm8k at {commit}, columns question, answer"
    )
    assert "no problem and no answer" in findings["task math500_zero"].found
    assert "GatedRepoError" in findings["task gpqa"].found
    assert "HF_TOKEN" in findings["task gpqa"].mend
    assert findings["data"].found.endswith("rows")
    hub.gated = ()
    assert ", gated" not in examine(plan_command("stage=doctor"))["task gpqa"].found


@pytest.mark.usefixtures("same_process")
def test_a_fetch_reads_what_it_can_and_then_names_all_that_it_could_not(
    hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    from kvdistill.cli.fetch import fetch_plan
    from kvdistill.errors import UserError

    with pytest.raises(UserError, match=r"2 of 4 sources .* task math500_zero: .* task gpqa: "):
        fetch_plan(plan_command("stage=fetch"))
    assert "task gsm8k: 9 test and 9 train rows" in capsys.readouterr().out


@pytest.mark.integration
def test_what_was_fetched_is_found_without_a_network(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    from kvdistill.cli.fetch import fetch_plan

    only = "tasks.tasks=[gsm8k]"
    fetch_plan(plan_command("stage=fetch", only))
    hub.close()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    plan = plan_command("stage=run", only)
    (run,) = plan.runs.values()
    commit = make_commit(hub.folder / "openai/gsm8k")
    assert run.config["tasks"]["revisions"] == {"openai/gsm8k": commit}
    findings = examine(plan)
    assert "task gsm8k" in findings, findings
    finding = findings["task gsm8k"]
    assert (finding.mend, commit[:8] in finding.found) == ("", True)
