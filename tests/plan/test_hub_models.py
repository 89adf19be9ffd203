"""Models of the hub that runs read, and what jobs without a network would lack."""

from typing import Any

import pytest

MODEL = {"_target_": "kvdistill.models.pretrained.Pretrained", "hub": "a/model", "revision": "c0"}


def config(**nodes: Any) -> dict[str, Any]:
    return {"student": {"build": None}, "teachers": {}, **nodes}


def test_every_model_of_the_hub_is_named_once() -> None:
    from kvdistill.plan.hub_models import list_hub_models

    other = {**MODEL, "hub": "b/model"}
    local = {**MODEL, "hub": None, "path": "/here"}
    one = config(student={"pretrained": MODEL}, teachers={"a": {"pretrained": local}})
    two = config(student={"build": {"source": other}}, teachers={"a": {"pretrained": MODEL}})
    assert list_hub_models([one, two]) == [("a/model", "c0"), ("b/model", "c0")]


def test_a_model_that_is_not_in_the_cache_is_refused_with_the_way_out(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    from kvdistill.errors import ConfigError
    from kvdistill.plan.hub_models import check_hub_cache

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"a/model at c0 is not in the cache. .*stage=fetch"):
        check_hub_cache([config(student={"pretrained": MODEL})])
    check_hub_cache([config()])
