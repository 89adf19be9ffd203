"""A model that no single GPU holds is scored over all that its job sees."""

from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("hydra")
NODE = {"name": "large", "placement": {"device": "auto", "shard": "zero3"}}


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Two GPUs are there as far as `load` knows; the device maps that models are dispatched by."""
    import torch

    from kvdistill.models import load

    dispatched: list[Any] = []
    monkeypatch.setattr(load, "choose_device", lambda *_: torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        load, "dispatch_model", lambda model, places: dispatched.append(places) or model
    )
    return dispatched


def make_model() -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 4, "vocab_size": 32}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    return Qwen2ForCausalLM(Qwen2Config(**sizes, **heads, tie_word_embeddings=False))


def limit_memory(monkeypatch: pytest.MonkeyPatch, bytes_by_device: dict[Any, int]) -> None:
    from accelerate.utils import modeling

    monkeypatch.setattr(modeling, "get_max_memory", lambda *_: dict(bytes_by_device))


def test_whole_layers_lie_on_one_gpu_after_the_other(
    two_gpus: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.models.load import place_for_scoring

    limit_memory(monkeypatch, {0: 40_000, 1: 40_000, "cpu": 10**9})
    place_for_scoring(make_model(), NODE, "student")
    (places,) = two_gpus
    assert set(places.values()) == {0, 1}
    assert all(name.count(".") <= 2 for name in places)  # no layer is cut


def test_what_does_not_fit_the_jobs_gpus_is_refused(
    two_gpus: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.models.load import place_for_scoring

    limit_memory(monkeypatch, {0: 20_000, 1: 10_000, "cpu": 10**9})
    with pytest.raises(ConfigError, match=r"large does not fit the 2 GPUs .* Raise cluster.gpus"):
        place_for_scoring(make_model(), NODE, "student")
    assert not two_gpus


def test_on_a_cpu_a_model_stays_as_it_is() -> None:
    from kvdistill.models.load import place_for_scoring

    model = make_model()
    assert place_for_scoring(model, NODE, "student") is model
    assert model.device.type == "cpu"
