"""stage=tune without its jobs: killed at any instant and repeated it ends in the same choice."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from kvdistill.errors import ConfigError, UserError
from kvdistill.status import StatusWriter
from tests.plan.trials.manifests import finish_trial, measure_by_rate

pytestmark = pytest.mark.usefixtures("hydra")

SWEEP = """
question: Tuned alike?
arms: {sft: {arm: sft}, kv: {arm: single_teacher}}
tune:
  grid: {train.lr: [1.0e-3, 2.0e-3, 4.0e-3], loss.kv_weight: [0.3, 1.0]}
  trials: 3
  seeds: [1, 2]
seeds: [11, 12]
"""


class Killed(BaseException):
    """What no handler of a user's error catches."""


class Jobs:
    """In the place of the jobs: trials that end at once, until the process is killed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from kvdistill.cli import tune

        self.left: float = float("inf")
        """Jobs that end before the process is killed."""
        self.failed: dict[str, str] = {}
        self.queued = False
        self.measure = measure_by_rate
        self.done: list[str] = []
        monkeypatch.setattr(tune, "submit", self.submit)
        monkeypatch.setattr(tune, "check_missing_trials", self.list_missing)
        monkeypatch.setattr(tune, "check_plan_code", lambda _: [])

    def list_missing(self, plan: Any) -> list[Any]:
        from kvdistill.plan.freeze import is_missing

        return [run.node for run in plan.runs.values() if is_missing(plan, run.node.name)]

    def submit(
        self, plan: Any, nodes: Sequence[Any], folders: Mapping[str, Path], *_: Any, report: bool
    ) -> dict[str, str] | None:
        assert not report
        if self.queued:
            return None
        for node in [each for each in nodes if each.kind == "trial"]:
            if self.left == 0:
                raise Killed
            self.left -= 1
            if node.name in self.failed:
                StatusWriter(folders[node.name]).write("failed", error=self.failed[node.name])
            else:
                finish_trial(node, folders[node.name], self.measure)
                self.done.append(node.name)
        return {node.name: self.failed[node.name] for node in nodes if node.name in self.failed}


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    return Jobs(monkeypatch)


@cache
def expand() -> Any:
    """The plan of the sweep's trials, composed once."""
    from kvdistill.plan.trials.expand_trials import expand_trials

    with TemporaryDirectory() as folder:
        (Path(folder) / "s.yaml").write_text(SWEEP)
        return expand_trials([["sweep=s", f"root={folder}"]], Path(folder))


def tune(root: Path) -> bool:
    """What the command does with its plan, below a root."""
    from kvdistill.cli.tune import execute_trials

    return execute_trials(replace(expand(), root=root))


def read_tuning(root: Path) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads((root / "runs/nano/plan.json").read_text())
    tuning: dict[str, Any] = plan["tunings"]["s"]
    return tuning


def read_events(root: Path) -> list[tuple[str, str]]:
    from kvdistill.history import read_history

    history = read_history(root)
    assert history.problems == []
    return [(event.event, event.facts["label"]) for event in history.events]


@pytest.mark.integration
def test_trials_come_first_then_the_choice_and_each_is_on_record_once(
    tmp_path: Path, jobs: Jobs
) -> None:
    assert tune(tmp_path)
    arms = read_tuning(tmp_path)["arms"]
    for arm in arms.values():
        assert arm["trials"][arm["winner"]]["settings"]["train.lr"] == 2e-3
        assert len(arm["sha256"]) == 64
    expected = [("tuned", "sft"), ("tuned", "kv"), ("chosen", "sft"), ("chosen", "kv")]
    assert read_events(tmp_path) == expected
    before = (tmp_path / "runs/nano/plan.json").read_bytes()
    assert tune(tmp_path)
    assert read_events(tmp_path) == expected
    assert (tmp_path / "runs/nano/plan.json").read_bytes() == before
    assert len(jobs.done) == len(set(jobs.done)) == 12


@pytest.mark.integration
@pytest.mark.parametrize("ended", [0, 1, 6, 11])
def test_killed_while_trials_run_it_ends_in_the_same_choice(
    tmp_path: Path, jobs: Jobs, ended: int
) -> None:
    whole = tmp_path / "whole"
    tune(whole)
    jobs.done.clear()
    jobs.left = ended
    with pytest.raises(Killed):
        tune(tmp_path)
    assert all(arm["winner"] is None for arm in read_tuning(tmp_path)["arms"].values())
    jobs.left = float("inf")
    assert tune(tmp_path)
    assert len(jobs.done) == len(set(jobs.done)) == 12
    assert read_tuning(tmp_path) == read_tuning(whole)
    assert read_events(tmp_path) == read_events(whole)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("module", "name", "call"),
    [
        ("kvdistill.stats.audit.record_events", "append_event", 1),
        ("kvdistill.stats.audit.record_events", "append_event", 2),
        ("kvdistill.cli.tune", "freeze_plan", 1),
        ("kvdistill.plan.trials.freeze_choice", "read_sealed", 7),
        ("kvdistill.plan.trials.freeze_choice", "append_event", 1),
        ("kvdistill.plan.trials.freeze_choice", "append_event", 2),
        ("kvdistill.plan.study_plan", "write_json", 1),
        ("kvdistill.plan.study_plan", "write_json", 2),
    ],
)
@pytest.mark.parametrize("after", [False, True])
def test_killed_before_or_after_any_write_it_ends_in_the_same_choice(
    tmp_path: Path, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, module: str, name: str, call: int,
    after: bool,
) -> None:  # fmt: skip
    from importlib import import_module

    holder, calls = import_module(module), []
    real = getattr(holder, name)

    def kill(*arguments: Any, **named: Any) -> Any:
        calls.append(name)
        if len(calls) == call and not after:
            raise Killed
        result = real(*arguments, **named)
        if len(calls) == call:
            raise Killed
        return result

    with monkeypatch.context() as patched:
        patched.setattr(holder, name, kill)
        with pytest.raises(Killed):
            tune(tmp_path)
    assert tune(tmp_path)
    whole = tmp_path / "whole"
    tune(whole)
    assert read_tuning(tmp_path) == read_tuning(whole)
    assert sorted(read_events(tmp_path)) == sorted(read_events(whole))


@pytest.mark.integration
def test_one_arm_of_each_teacher_goes_on_with_the_one_that_validation_prefers(
    tmp_path: Path, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.cli.tune import execute_trials
    from kvdistill.plan.expand import expand_command
    from kvdistill.plan.trials.expand_trials import expand_trials

    sweeps = Path(__file__).parents[2] / "sweeps"
    command = ["sweep=best_teacher", f"root={tmp_path}"]
    trials = expand_trials([command], sweeps)
    (cross,) = {
        node["name"]
        for run in trials.runs.values()
        for node in run.config["teachers"].values()
        if run.config["choices"]["teachers"] == "cross"
    }

    def measure(node: Any) -> float:
        (name, *others) = (each["name"] for each in node.recipe["teachers"].values())
        return 0.4 - 0.1 * (name == cross and not others)

    jobs.measure = measure
    assert execute_trials(trials)
    tuning = json.loads((tmp_path / "runs/nano/plan.json").read_text())["tunings"]["best_teacher"]
    chosen = tuning["arms"]["each_teacher"]
    assert chosen["trials"][chosen["winner"]]["settings"]["teachers"] == "cross"
    assert [len(arm["trials"]) for arm in tuning["arms"].values()] == [4, 4, 4]
    plan = expand_command([[*command, "references=false"]], sweeps)
    confirmed = plan.questions["best_teacher"].arms["each_teacher"].values()
    assert len(confirmed) == 3
    for identity in confirmed:
        assert [n["name"] for n in plan.runs[identity].config["teachers"].values()] == [cross]


@pytest.mark.integration
def test_a_trial_that_diverged_is_one_and_never_wins(tmp_path: Path, jobs: Jobs) -> None:
    jobs.measure = lambda node: None if node.recipe["train"]["lr"] == 2e-3 else 1.0
    assert tune(tmp_path)
    for arm in read_tuning(tmp_path)["arms"].values():
        assert arm["trials"][arm["winner"]]["settings"]["train.lr"] != 2e-3
        assert {"1": None, "2": None} in [trial["measured"] for trial in arm["trials"]]


@pytest.mark.integration
def test_a_failed_trial_stops_the_choice_and_says_the_way_out(tmp_path: Path, jobs: Jobs) -> None:
    jobs.failed = {next(iter(expand().runs.values())).node.name: "no memory"}
    with pytest.raises(UserError, match=r"1 of 12 trials failed, so no winner is chosen: .*: no m"):
        tune(tmp_path)
    assert all(arm["winner"] is None for arm in read_tuning(tmp_path)["arms"].values())


@pytest.mark.integration
def test_a_failed_trial_is_done_again_by_retry_and_nothing_is_confirmed(
    tmp_path: Path, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.cli import retry

    name = next(iter(expand().runs.values())).node.name
    jobs.failed = {name: "no memory"}
    with pytest.raises(UserError, match="1 of 12"):
        tune(tmp_path)
    jobs.failed = {}
    monkeypatch.setattr(retry, "submit", jobs.submit)
    monkeypatch.setattr(retry, "check_plan_code", lambda _: [])
    retry.retry_command([["stage=retry", f"root={tmp_path}"]], tmp_path)
    assert jobs.done[-1] == name
    assert len(jobs.done) == 12
    assert tune(tmp_path)
    assert len(jobs.done) == 12


def test_while_trials_wait_in_a_queue_nothing_is_confirmed(
    tmp_path: Path, jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.queued = True
    assert not tune(tmp_path)
    assert "once they have ended, repeat the command" in " ".join(capsys.readouterr().out.split())


@pytest.mark.integration
def test_a_run_confirms_only_once_its_arms_are_tuned(
    tmp_path: Path, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.cli import run

    confirmed: list[Any] = []
    monkeypatch.setattr(run, "execute_plan", confirmed.append)
    (tmp_path / "s.yaml").write_text(SWEEP)
    command = [["sweep=s", f"root={tmp_path}"]]
    jobs.queued = True
    run.run_command(command, tmp_path)
    assert confirmed == []
    jobs.queued = False
    run.run_command(command, tmp_path)
    (plan,) = confirmed
    trained = [each.config for each in plan.runs.values() if each.config["trained"]]
    assert {config["train"]["lr"] for config in trained} == {2e-3}
    assert {config["seed"] for config in trained} == {11, 12}


def test_the_stage_needs_a_sweep_that_tunes(tmp_path: Path) -> None:
    from kvdistill.cli.tune import tune_command

    with pytest.raises(ConfigError, match="no sweep of this command has the key `tune`"):
        tune_command([[f"root={tmp_path}"]], tmp_path)


def test_status_names_every_trial(tmp_path: Path, jobs: Jobs) -> None:
    from kvdistill.cluster.run_states import read_run_states

    tune(tmp_path)
    labels = [line.label for line in read_run_states(tmp_path, tmp_path / "runs/nano")]
    assert labels.count("kv, trial 3 of 3") == 2
    assert len(labels) == 12


@pytest.mark.integration
def test_trials_alone_are_nothing_to_report(tmp_path: Path, jobs: Jobs) -> None:
    from kvdistill.cli.report import report_command

    tune(tmp_path)
    with pytest.raises(ConfigError, match="study=nano has planned trials and no run yet"):
        report_command([["stage=report", f"root={tmp_path}"]], tmp_path)
