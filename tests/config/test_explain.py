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
    "explain_several": ("seed=42,43", r"seed=42,43 gives several values: add -m, as in `-m seed="),
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


@pytest.mark.parametrize(
    ("override", "setting"),
    [
        ("train.learning_rate=1", "train.lr"), ("+lr=1", "train.lr"), ("lr=1", "train.lr"),
        ("batch_size=4", "budget.batch_size"), ("train.max_steps=4", "budget.total_tokens"),
        ("+train.epochs=4", "budget.total_tokens"), ("student_model=qwen", "student"),
    ],
)  # fmt: skip
def test_what_others_call_a_setting_leads_to_it(override: str, setting: str) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=rf"is no setting.* Did you mean {setting}\?$"):
        compose([override])


def test_what_is_known_is_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.config import explain, hydra_internals

    hydra_internals.enable_file_cache()
    known = explain.known_keys()
    monkeypatch.setattr(explain, "list_keys", lambda: pytest.fail("composed again"))
    assert explain.known_keys() == known


def test_every_synonym_leads_to_a_setting_that_is_there() -> None:
    from kvdistill.config.explain import known_keys
    from kvdistill.config.types import SYNONYMS

    known = set(known_keys())
    assert {key: name for key, name in SYNONYMS.items() if name not in known} == {}
    assert not set(SYNONYMS) & known
