"""What a model's file says of its K and V refuses a plan; what reads none is planned."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvdistill.errors import ConfigError
from kvdistill.plan.hub_models import PRETRAINED
from kvdistill.plan.model_files.check_kv_modules import check_kv_modules
from tests.models.gguf_files import write_header
from tests.train.conftest import TEACHERS, composed

__all__ = ["composed"]


@pytest.fixture
def plan(tmp_path: Path, composed: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """A config whose first teacher's file says this."""

    def place(settings: dict[str, Any], *overrides: str) -> dict[str, Any]:
        (tmp_path / "config.json").write_text(json.dumps(settings))
        config = composed(*overrides)
        source = {"_target_": PRETRAINED, "path": str(tmp_path)}
        kept = {key: config["teachers"]["a"][key] for key in ("name", "geometry", "dtype")}
        config["teachers"]["a"] = kept | {"pretrained": source}
        return dict(config)

    return place


def test_a_latent_cache_is_refused_where_keys_and_values_are_matched(plan: Any) -> None:
    settings = {"model_type": "deepseek_v3", "kv_lora_rank": 512}
    config = plan(settings)
    with pytest.raises(ConfigError, match=r"^teachers\.a: .*config\.json keeps a latent.*\(MLA"):
        check_kv_modules(config)
    config["kv"] = {"keys": 0.0, "values": 0.0}
    check_kv_modules(config)
    check_kv_modules({**config, "trained": False})


def test_a_gguf_header_says_it_too(plan: Any, tmp_path: Path) -> None:
    import gguf

    config = plan({})
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "deepseek2")
    writer.add_kv_lora_rank(512)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    config["teachers"]["a"]["pretrained"]["gguf_file"] = "a.gguf"
    with pytest.raises(ConfigError, match=r"a\.gguf keeps a latent"):
        check_kv_modules(config)
    write_header(tmp_path / "a.gguf", TEACHERS["a"], "mamba")
    with pytest.raises(ConfigError, match=r"a\.gguf is a mamba without attention"):
        check_kv_modules(config)


def test_layers_that_keep_none_are_refused_where_they_are_read(plan: Any) -> None:
    depth = TEACHERS["a"]["layers"]
    kinds = ["full_attention"] * depth
    check_kv_modules(plan({"model_type": "lfm2", "layer_types": kinds}))
    kinds[-1] = "conv"
    with pytest.raises(ConfigError, match=rf"keeps no K and V in layers {depth - 1}, which"):
        check_kv_modules(plan({"model_type": "lfm2", "layer_types": kinds}, "layers/map=last"))


def test_a_family_of_which_nothing_is_stated_is_left_to_its_proof(plan: Any) -> None:
    check_kv_modules(plan({"model_type": "unheard_of"}))
