"""A few of the strange files that `python -m tests.bench.fuzz --only data` tries by the hundred."""

import tempfile
from pathlib import Path

import hypothesis
import pytest

from tests.data import fuzz_files

pytestmark = pytest.mark.usefixtures("hydra")


@pytest.mark.integration
@hypothesis.settings(
    max_examples=25, derandomize=True, database=None, deadline=None,
    phases=[hypothesis.Phase.generate], suppress_health_check=list(hypothesis.HealthCheck),
)  # fmt: skip
@hypothesis.given(fuzz_files.user_data())
def test_a_strange_file_is_split_or_refused_in_one_line(data: fuzz_files.UserData) -> None:
    with tempfile.TemporaryDirectory() as folder:
        outcome = fuzz_files.run_example(data, Path(folder))
    assert not outcome.fault, outcome
