"""Arms composed together are what Hydra makes of each alone."""

import pytest
from hydra import compose as hydra_compose
from omegaconf import OmegaConf

pytestmark = pytest.mark.usefixtures("new_hydra")
ARMS = [
    [],
    ["loss.kv_weight=0.5"],
    ["loss.kv_weight=0.25", "arm=single_teacher"],
    ["arm=single_teacher", "train.lr=0.01", "loss.kv_weight=0.75"],
    ["fusion=staged", "teachers=three", "+data.source.note=x"],
    ["loss=gram", "loss.kv_weight=2", "layers/map=nearest", "layers.range=0-2"],
    ["scale=nano", "cluster=slurm", "cluster.resources.kv={gpus: 1}", "~kv.values"],
    ["arm=sequence_kd"],  # sets what config.yaml itself sets
    [],
]


def compose_with_hydra(overrides: list[str]) -> object:
    config = hydra_compose("config", overrides, return_hydra_config=True)
    OmegaConf.set_struct(config, False)
    choices = dict(config.pop("hydra").runtime.choices)
    return OmegaConf.to_container(config), choices


@pytest.mark.integration
@pytest.mark.parametrize("remembering", [False, True])
def test_every_arm_is_what_hydra_makes_of_it_alone(remembering: bool) -> None:
    from kvdistill.config import compose_cache, hydra_internals

    expected = [compose_with_hydra(overrides) for overrides in ARMS]
    if remembering:
        hydra_internals.enable_file_cache()
    for overrides, reference in zip(ARMS, expected, strict=True):
        config, choices = compose_cache.compose_cached(overrides)
        assert (OmegaConf.to_container(config), choices) == reference


@pytest.mark.integration
def test_arms_that_differ_in_values_are_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.config import compose_cache, hydra_internals

    composed = []
    real = compose_cache.compose_choices
    monkeypatch.setattr(
        compose_cache, "compose_choices", lambda choices: composed.append(choices) or real(choices)
    )
    hydra_internals.enable_file_cache()
    for weight in range(20):
        compose_cache.compose_cached([f"loss.kv_weight={weight}", "fusion=staged"])
    assert composed == [("fusion=staged",)]


def test_a_value_set_for_one_arm_is_not_there_for_the_next() -> None:
    from kvdistill.config import compose_cache, hydra_internals

    hydra_internals.enable_file_cache()
    before, _ = compose_cache.compose_cached(["fusion=staged"])
    compose_cache.compose_cached(["fusion=staged", "loss.kv_weight=7"])
    after, _ = compose_cache.compose_cached(["fusion=staged"])
    assert before.loss.kv_weight == after.loss.kv_weight != 7
