"""A tracker that is none is refused when planned, before any package is asked for."""

import pytest

from kvdistill.config.check_training import check_tracker
from kvdistill.errors import ConfigError


def test_a_misspelt_tracker_is_refused_with_the_name_that_is_meant():
    with pytest.raises(ConfigError, match=r"report_to=wanbd is no tracker\. Did you mean wandb\?"):
        check_tracker({"train": {"report_to": "wanbd"}})
    with pytest.raises(ConfigError, match=r"report_to=paper is no tracker\. Choose one of none, "):
        check_tracker({"train": {"report_to": "paper"}})
    check_tracker({"train": {"report_to": "wandb"}})


@pytest.mark.usefixtures("hydra")
def test_it_is_a_rule_of_every_command():
    from kvdistill.config.compose import compose

    with pytest.raises(ConfigError, match=r"train\.report_to=mlfow is no tracker"):
        compose(["train.report_to=mlfow"])
