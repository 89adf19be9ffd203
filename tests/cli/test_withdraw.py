"""stage=withdraw as a command: what it asks for, and what status says afterwards."""

from pathlib import Path

import pytest

from kvdistill.errors import ConfigError
from tests.plan.labels.test_withdrawal import write_plan

pytestmark = pytest.mark.usefixtures("hydra")


def withdraw_from(root: Path, *overrides: str) -> None:
    from kvdistill.cli.withdraw import withdraw_command

    withdraw_command([["stage=withdraw", "study=s", f"root={root}", *overrides]], root)


def test_status_names_what_was_withdrawn_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kvdistill.cluster.run_states import read_run_states

    study = write_plan(tmp_path)
    withdraw_from(tmp_path, "label=two", "reason='a wrong rate'")
    assert "withdrawn from question p: two (b1): a wrong rate" in capsys.readouterr().out
    lines = {line.run: line for line in read_run_states(tmp_path, study)}
    assert (lines["b1"].label, lines["b1"].state, lines["b1"].why) == (
        "two", "withdrawn", "a wrong rate"
    )  # fmt: skip
    assert lines["a1"].label == "one, other"
    assert lines["a1"].state != "withdrawn"


def test_a_job_that_still_runs_is_named_with_the_withdrawal(tmp_path: Path) -> None:
    from kvdistill.cluster.run_states import read_run_states
    from kvdistill.status import StatusWriter

    study = write_plan(tmp_path)
    StatusWriter(tmp_path / "runs/s/runs/seedb1").write("running")
    withdraw_from(tmp_path, "run=b1", "reason=x")
    (line,) = [line for line in read_run_states(tmp_path, study) if line.run == "b1"]
    assert (line.state, line.why) == ("withdrawn", "x; its job is running")


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["stage=withdraw", "label=two"], "reason must say why"),
        (["stage=withdraw", "label=two", "reason='  '"], "reason must say why"),
        (["stage=withdraw", "reason=x"], "needs exactly one of label and run"),
        (["stage=withdraw", "reason=x", "label=a", "run=b"], "needs exactly one of label and run"),
        (["label=a"], "label=a is for stage=withdraw, not stage=run"),
        (["stage=plan", "reason=a"], "reason=a is for stage=withdraw, not stage=plan"),
    ],
)
def test_a_command_that_says_too_little_is_refused(overrides: list[str], says: str) -> None:
    from kvdistill.config.compose import compose

    with pytest.raises(ConfigError) as refusal:
        compose(overrides)
    assert says in str(refusal.value)
