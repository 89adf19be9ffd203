"""Each complaint of Hydra's and OmegaConf's is one line that names the setting and the way out."""

import pytest

pytestmark = pytest.mark.usefixtures("hydra")

COMMANDS = {
    "explain_unread": (
        "fusion.weights=[0.5",
        r"fusion.weights cannot be read: .* Quote what Hydra",
    ),
    "explain_interpolation": ("root=${oc.env:HOME}", r"root: \$\{oc.env:HOME\}: a config holds no"),
    "explain_missing": (
        "data=jsonl",
        r"data.source.path must be given: add data.source.path=VALUE",
    ),
    "explain_missing_value": ("study=???", r"study must be given: add study=VALUE"),
    "explain_unset_source": (
        "study=${nowhere}",
        r"study takes its value from nowhere, which nothing",
    ),
    "explain_choice": (
        "fusion=mean",
        r"fusion=mean is no choice of fusion. Choose one of best_single",
    ),
    "explain_key": (
        "fusion.wieghts=1",
        r"fusion.wieghts is no setting. Did you mean fusion.weights",
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_it_is_said_in_one_line(name: str) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError

    command, line = COMMANDS[name]
    with pytest.raises(ConfigError, match=f"^{line}") as error:
        compose([command])
    assert "\n" not in str(error.value)


def test_every_complaint_has_a_command_here() -> None:
    from kvdistill.config.explain import COMPLAINTS

    assert {complaint.explain.__name__ for complaint in COMPLAINTS} == set(COMMANDS)


def test_what_fits_no_complaint_keeps_its_words() -> None:
    from kvdistill.config.explain import explain_error

    error = ValueError("one\n  two")
    error.__cause__ = ValueError("three")
    assert explain_error(error) == "one two three"
