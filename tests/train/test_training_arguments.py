"""The arguments of a run, and its tracker."""

import pytest


def test_a_tracker_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.train import training_arguments

    monkeypatch.setattr(training_arguments, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"train\.report_to=wandb needs the package wandb"):
        training_arguments.check_tracker("wandb")
    with pytest.raises(ConfigError, match=r"train\.report_to=paper is no tracker"):
        training_arguments.check_tracker("paper")
    training_arguments.check_tracker("none")
