"""What is taken from Hydra's private modules still does what is relied on."""

import copy

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from omegaconf.basecontainer import BaseContainer

pytestmark = pytest.mark.usefixtures("new_hydra")


@pytest.mark.integration
def test_a_file_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra import compose
    from hydra._internal.core_plugins.file_config_source import FileConfigSource

    from kvdistill.config.hydra_internals import enable_file_cache, get_file_cache

    files: list[str] = []
    load = FileConfigSource.load_config

    def record(self: FileConfigSource, config_path: str) -> object:
        files.append(config_path)
        return load(self, config_path)

    monkeypatch.setattr(FileConfigSource, "load_config", record)
    enable_file_cache()
    cache = get_file_cache()
    assert cache is not None
    cache.cache.clear()
    compose("config")
    first = len(files)
    assert first
    compose("config", ["fusion=similarity"])
    assert set(files[first:]) == {"fusion/similarity"}


def test_only_values_are_told_apart_from_choices() -> None:
    from kvdistill.config.hydra_internals import get_config_loader, select_value_overrides

    parser = OverridesParser.create(config_loader=get_config_loader())
    overrides = parser.parse_overrides(["fusion=fixed", "seed=7", "hydra.verbose=true"])
    assert [each.key_or_group for each in select_value_overrides(overrides)] == ["seed"]


@pytest.mark.integration
def test_values_are_set_as_hydra_sets_them() -> None:
    from hydra import compose

    from kvdistill.config.hydra_internals import get_config_loader, set_values

    parser = OverridesParser.create(config_loader=get_config_loader())
    overrides = ["seed=7", "train.lr=0.5", "+layers.extra=1", "~loss.kv_weight"]
    config = copy.deepcopy(compose("config"))  # what is cached must stay as it was read
    set_values(config, parser.parse_overrides(overrides))
    assert (config.seed, config.train.lr, config.layers.extra) == (7, 0.5, 1)
    assert "kv_weight" not in config.loss
    assert compose("config").seed == 42


@pytest.mark.integration
@pytest.mark.parametrize(
    "overrides", [[], ["scale=smollm", "arm=single_teacher", "loss=gram"]], ids=str
)
def test_choices_are_mapped_for_a_list_that_interpolates_alone(
    overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hydra import compose
    from hydra._internal import defaults_list

    from kvdistill.config.hydra_internals import skip_unread_choices

    mapped = []
    original = defaults_list._create_interpolation_map

    def record(overrides: object, defaults: list[object], self_added: bool) -> object:
        mapped.append([str(each) for each in defaults])
        return original(overrides, defaults, self_added)

    monkeypatch.setattr(defaults_list, "_create_interpolation_map", record)
    reference = compose("config", overrides, return_hydra_config=True)
    every = len(mapped)
    mapped.clear()
    with skip_unread_choices():
        config = compose("config", overrides, return_hydra_config=True)
    assert config == reference
    assert config.hydra.runtime.choices == reference.hydra.runtime.choices
    assert mapped
    assert all("${" in str(defaults) for defaults in mapped)
    assert len(mapped) < every / 3
    assert defaults_list._create_interpolation_map is record


@pytest.mark.integration
@pytest.mark.parametrize(
    "overrides", [[], ["scale=smollm", "arm=single_teacher", "loss=gram"]], ids=str
)
def test_placed_files_are_merged_to_the_config_that_hydra_merges(overrides: list[str]) -> None:
    from hydra import compose

    from kvdistill.config.hydra_internals import enable_file_cache, merge_placed_files

    reference = compose("config", overrides, return_hydra_config=True)
    enable_file_cache()
    for _ in range(2):  # the second time all are placed
        with merge_placed_files():
            config = compose("config", overrides, return_hydra_config=True)
        assert OmegaConf.to_yaml(config) == OmegaConf.to_yaml(reference)
        assert OmegaConf.is_struct(config)
    assert compose("config", overrides, return_hydra_config=True) == reference


def test_what_cannot_be_merged_is_said_with_its_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from hydra import compose
    from hydra.errors import ConfigCompositionException
    from omegaconf.errors import ConfigTypeError

    from kvdistill.config import hydra_internals

    def fail(*_: object) -> None:
        raise ConfigTypeError("unlike")

    hydra_internals.enable_file_cache()
    monkeypatch.setattr(BaseContainer, "_map_merge", fail)
    refused = pytest.raises(ConfigCompositionException, match=r"In '.*': ConfigTypeError")
    with hydra_internals.merge_placed_files(), refused:
        compose("config")


@pytest.mark.integration
def test_a_config_is_checked_before_hydra_acts_on_it() -> None:
    from hydra import compose

    from kvdistill.config.hydra_internals import check_loaded_configs

    def refuse(config: object) -> None:
        raise LookupError(type(config).__name__)

    with check_loaded_configs(refuse), pytest.raises(LookupError, match="DictConfig"):
        compose("config")
    assert compose("config").seed == 42


def test_the_sweeper_still_has_what_the_plugin_overrides() -> None:
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    assert callable(BasicSweeper.validate_batch_is_legal)
