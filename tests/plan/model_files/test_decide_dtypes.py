"""A teacher's dtype that is left to the plan."""

from pathlib import Path
from typing import Any

import pytest

from kvdistill.errors import ConfigError

pytestmark = pytest.mark.usefixtures("hydra")
AUTO = ["arm=single_teacher", "teachers.a.dtype=auto"]


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Sets whether this machine's processor multiplies bfloat16 quickly."""
    from kvdistill.plan.model_files import decide_dtypes

    def choose(fast: bool) -> None:
        monkeypatch.setattr(decide_dtypes, "multiplies_bf16_fast", lambda: fast)

    return choose


def expand_one(*overrides: str) -> Any:
    from kvdistill.plan.expand import expand_command

    plan = expand_command([list(overrides)], Path("sweeps"))
    (identity,) = next(iter(plan.questions.values())).arms.popitem()[1].values()
    return identity, plan.runs[identity].config


@pytest.mark.parametrize(("fast", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_it_is_that_of_the_processor_and_the_run_is_the_one_that_states_it(
    processor: Any, fast: bool, dtype: str
) -> None:
    processor(fast)
    identity, config = expand_one(*AUTO)
    assert config["teachers"]["a"]["dtype"] == dtype
    assert identity == expand_one("arm=single_teacher", f"teachers.a.dtype={dtype}")[0]


def test_a_gpu_multiplies_it_quickly_whatever_the_processor(processor: Any) -> None:
    processor(False)
    _, config = expand_one(*AUTO, "estimate.kind=h100-80gb")
    assert config["teachers"]["a"]["dtype"] == "bfloat16"


def test_what_is_stated_stays(processor: Any) -> None:
    processor(True)
    assert expand_one("arm=single_teacher")[1]["teachers"]["a"]["dtype"] == "float32"


def test_a_student_leaves_nothing_to_the_plan() -> None:
    with pytest.raises(ConfigError, match=r"student\.dtype=auto is none of float32, bfloat16, f"):
        expand_one("arm=sft", "student.dtype=auto")


@pytest.mark.parametrize(
    ("override", "named"),
    [("train.bf16=true", "train.bf16=true: this"), ("teachers.a.dtype=bfloat16", "a.dtype=bfl")],
)
def test_half_precision_where_it_is_slow_is_warned_of(
    processor: Any, override: str, named: str
) -> None:
    from kvdistill.estimate.warnings import warn_of_slow_half

    config = expand_one("arm=single_teacher", override)[1]
    processor(False)
    (line,) = warn_of_slow_half(config)
    assert named in line
    processor(True)
    assert not list(warn_of_slow_half(config))


@pytest.mark.parametrize(
    ("fast", "line"),
    [
        (True, "Teachers compute in bfloat16 (big); this processor multiplies bfloat16 quickly."),
        (
            False,
            "Teachers compute in float32 (big); this processor has no instructions that multiply "
            "bfloat16.",
        ),
    ],
)
def test_a_plan_says_in_what_teachers_of_files_compute(
    processor: Any, fast: bool, line: str
) -> None:
    """Each once, whatever the number of arms that have them; the tiny ones that are built not."""
    from kvdistill.plan.model_files.decide_dtypes import decide_dtypes, describe_dtypes

    processor(fast)
    built = expand_one("arm=single_teacher")[1]
    assert not list(describe_dtypes([built]))
    config = {**built, "teachers": {"a": {"name": "big", "pretrained": {}, "dtype": "auto"}}}
    decide_dtypes(config)
    assert list(describe_dtypes([config, config])) == [line]


def test_teachers_of_real_families_leave_it_to_the_plan() -> None:
    """So that they are half precision where that is quick, and float32 where it is not."""
    import yaml

    nodes = [yaml.safe_load(path.read_text()) for path in Path("conf/teacher/qwen").glob("*.yaml")]
    assert {node["dtype"] for node in nodes} == {"auto"}
