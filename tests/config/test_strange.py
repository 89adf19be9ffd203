"""What `python -m tests.bench.fuzz` found stays refused, in one line that names the setting."""

import tempfile
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.config import strange

pytestmark = pytest.mark.usefixtures("hydra")


FOUND = {
    "budget=null": "budget=null is no choice of budget",
    "source=store source.stored.style.templates=x": "source.stored.style must be a choice of style",
    "train=[0]": "train=[0] is no choice of train",
    "fusion=[[a]]": "fusion=[[a]] is no choice of fusion",
    "cluster.name=[0]": "cluster.name=[0] is no cluster",
    "kv=0": "kv=0 is no choice of kv",
    "~adapter": "adapter must be one of its choices",
    "~trust": "trust must be given",
    "~student.name": "student.name must be given",
    "student.dtype=float8": "student.dtype=float8 is none of float32, bfloat16, float16",
    "+student.new=1": "student.new is no setting",
    "teachers.b.name={_target_:kvdistill.files.sha256}": "teachers.b.name=",
    "source=online +source.stored.style.chat.new=null": "source.stored.style must be a choice",
    "source=online +source.stored.dtype.new=null": "source.stored.style must be a choice of style",
    "+student.pretrained.new=null": "student.build or student.pretrained: give exactly one",
    "estimate.disagreement=_}*": "estimate.disagreement cannot be read: mismatched input",
    "compression.keep=x": "compression.keep='x' must be a ratio in (0, 1]",
    "student.geometry.head_dim={_target_:os.getcwd}": "student.geometry.head_dim",
    "~teachers.a.reads_split": "teachers.a.reads_split must be given",
    "teachers.a=null": "teachers.a must be a model's node",
    "~tasks._target_": "tasks must be one of its choices",
    "tasks.tasks=5": "tasks.tasks=5 must be a list",
    "train.deepspeed={zero_optimization:x}": "train.deepspeed.zero_optimization='x' must be a mapp",
    "data.split.ratios=x": "data.split.ratios='x' must be a list",
    "+estimate.items.nano_logic.new=null": "estimate.items=",
    "estimate.overhead_s=inf": "estimate.overhead_s=inf must be a finite number",
    "student.geometry.layers=1000000": "student.geometry.layers must be at most 1000",
    "data.source.rows=1000000": "data.source.rows must be from 1 to 100000",
    f"seed={10**400}": "seed must be a whole number of 0 or more, below 2**32",
    f"scale={'x' * 2000}": "is no choice of scale",
    f"study={'x' * 20000}": "study has 20000 parts",
    f"train.lr={10**400}": "train.lr must be from",
}


@pytest.mark.integration
@pytest.mark.parametrize("override", FOUND, ids=lambda text: text[:40])
def test_what_was_found_stays_refused(override: str, tmp_path: Path) -> None:
    outcome = strange.try_command(override.split(" "), tmp_path)
    assert not outcome.accepted
    assert not outcome.fault, outcome
    assert FOUND[override] in outcome.message, outcome.message


@pytest.mark.integration
def test_a_field_that_has_a_default_may_go(tmp_path: Path) -> None:
    command = ["sweep=ablation_layers", "~data.split.teacher_separate"]
    outcome = strange.try_command(command, tmp_path)
    assert outcome.accepted, outcome


@hypothesis.settings(
    max_examples=25, derandomize=True, database=None, deadline=None,
    phases=[hypothesis.Phase.generate], suppress_health_check=list(hypothesis.HealthCheck),
)  # fmt: skip
@pytest.mark.integration
@hypothesis.given(st.deferred(lambda: strange.commands(strange.known_paths())))
def test_a_strange_command_is_planned_or_refused_in_one_line(command: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        outcome = strange.try_command(command, Path(folder))
    assert not outcome.fault, outcome
