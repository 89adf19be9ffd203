"""Every choice of the logits group is built; what cannot be is refused before there is a plan."""

from pathlib import Path

import pytest

from kvdistill.config.compose import compose
from kvdistill.errors import ConfigError
from kvdistill.logits.objective import LogitObjective
from kvdistill.logits.vocabulary import TokenTable
from kvdistill.plan.identity import run_identity

FOLDER = Path("conf/logits")
TABLE = TokenTable([b"a", b"b", b"<e>"], 2)
OTHER = TokenTable([b"b", b"a", b"c", b"<e>"], 3)
pytestmark = pytest.mark.usefixtures("hydra")


def build(*overrides, teachers=1, table=TABLE):
    config = compose(["logits=forward_kl", "teachers=cross_family", *overrides])
    names = list(config["teachers"])[:teachers]
    config["teachers"] = {name: config["teachers"][name] for name in names}
    return LogitObjective.from_config(config, TABLE, dict.fromkeys(names, table))


@pytest.mark.parametrize(
    "choice", sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != "none")
)
def test_every_distance_is_built_at_its_temperature(choice: str) -> None:
    built = build(f"logits={choice}", "logits.temperature=3", "logits.weight=2")
    assert built.distance.temperature == 3.0
    assert built.weight == 2.0


@pytest.mark.parametrize("mix", sorted(path.stem for path in (FOLDER / "teachers").glob("*.yaml")))
@pytest.mark.parametrize(
    "vocabulary", sorted(path.stem for path in (FOLDER / "vocabulary").glob("*.yaml"))
)
def test_every_mix_is_built_over_every_vocabulary_but_mixtures_over_one_alone(
    mix: str, vocabulary: str
) -> None:
    choices = f"logits/teachers={mix}", f"logits/vocabulary={vocabulary}"
    build(*choices)
    if (mix, vocabulary) == ("averaged", "chunks"):
        with pytest.raises(ConfigError, match=r"averaged mixes .* Use logits/teachers=mean or sel"):
            build(*choices, teachers=2)
    else:
        build(*choices, teachers=2)


def test_another_tokenizer_is_refused_unless_chunks_compare_it() -> None:
    with pytest.raises(ConfigError, match=r"has another tokenizer .*logits/vocabulary=chunks"):
        build(table=OTHER)
    build("logits/vocabulary=chunks", table=OTHER)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["logits.weight=-1"], r"logits\.weight must be 0 or more, got -1"),
        (["logits.temperature=0"], r"logits\.temperature must be positive, got 0"),
        (["logits.weight=inf"], r"logits\.weight must be 0 or more, got inf"),
        (["logits.beta=1"], r"logits\.beta"),
        (
            ["teachers=none", "loss.kv_weight=0"],
            r"teachers=none leaves logits\.weight=1\.0 nothing to match\. Use logits=none",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose(["logits=forward_kl", *overrides])


def test_a_beta_out_of_bounds_is_refused_by_its_path() -> None:
    with pytest.raises(ConfigError, match=r"logits\.distance\.beta=1\.5 must be from 0"):
        build("logits=jsd", "logits.distance.beta=1.5")


@pytest.mark.integration
def test_a_weight_of_0_is_the_run_that_there_was_and_any_other_is_another() -> None:
    before = run_identity(compose([]))
    assert run_identity(compose(["logits=none"])) == before
    assert run_identity(compose(["logits=reverse_kl", "logits.weight=0"])) == before
    others = [
        ["logits=forward_kl"], ["logits=reverse_kl"], ["logits=jsd"],
        ["logits=forward_kl", "logits.weight=2"], ["logits=forward_kl", "logits.temperature=2"],
        ["logits=forward_kl", "logits/teachers=select"],
        ["logits=forward_kl", "logits/vocabulary=chunks"],
    ]  # fmt: skip
    assert len({before, *(run_identity(compose(each)) for each in others)}) == 8
    whole = run_identity(compose(["logits=forward_kl", "logits.weight=1"]))
    assert whole == run_identity(compose(["logits=forward_kl", "logits.weight=1.0"]))
