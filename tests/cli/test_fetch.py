"""What is fetched, and what jobs without a network would lack."""

from typing import Any

import pytest

MODEL = {"_target_": "kvdistill.models.pretrained.Pretrained", "hub": "a/model", "revision": "c0"}


def config(**nodes: Any) -> dict[str, Any]:
    return {"student": {"build": None}, "teachers": {}, **nodes}


def test_every_model_of_the_hub_is_named_once() -> None:
    from kvdistill.cli.fetch import hubs

    other = {**MODEL, "hub": "b/model"}
    local = {**MODEL, "hub": None, "path": "/here"}
    one = config(student={"pretrained": MODEL}, teachers={"a": {"pretrained": local}})
    two = config(student={"build": {"source": other}}, teachers={"a": {"pretrained": MODEL}})
    assert hubs([one, two]) == [("a/model", "c0"), ("b/model", "c0")]


def test_a_model_that_is_not_in_the_cache_is_refused_with_the_way_out(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    from kvdistill.cli.fetch import check
    from kvdistill.errors import ConfigError

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"a/model at c0 is not in the cache. .*stage=fetch"):
        check([config(student={"pretrained": MODEL})])
    check([config()])


@pytest.mark.parametrize(
    ("name", "public"),
    [("gsm8k", True), ("gsm8k_direct", True), ("cmmlu", True), ("nano_logic", False),
     ("test_questions", False)],
)  # fmt: skip
def test_tasks_drawn_from_the_split_are_not_fetched(name: str, public: bool) -> None:
    from kvdistill.cli.fetch import from_hub
    from kvdistill.evaluate.harness import TASKS

    assert from_hub(name, TASKS) is public
