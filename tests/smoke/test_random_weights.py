"""Models of a stated shape, with weights from nowhere."""

from typing import Any

import pytest

SIZES = {
    "layers": 3, "hidden_size": 32, "intermediate_size": 48, "heads": 4, "kv_heads": 2,
    "head_dim": 8, "vocab_size": 1000, "tied_embeddings": False,
}  # fmt: skip


def make_weights(**changes: Any) -> Any:
    from kvdistill.smoke.random_weights import RandomWeights

    given = {"architecture": "qwen2", "geometry": SIZES, "max_digits": 1, "seed": 1}
    return RandomWeights(**(given | changes))


@pytest.mark.parametrize("architecture", ["qwen2", "llama"])
def test_a_model_has_the_shape_that_its_yaml_states(architecture: str) -> None:
    import torch

    from kvdistill.geometry import Geometry
    from kvdistill.models.geometry import verify_geometry

    weights = make_weights(architecture=architecture)
    model = weights.load_model(torch.bfloat16)
    verify_geometry(Geometry(**SIZES), model.config, "student.geometry")
    assert model.dtype == torch.bfloat16
    assert model(torch.tensor([[5, 6]])).logits.shape == (1, 2, 1000)
    assert len(weights.load_body(torch.float32, 2).layers) == 2


def test_a_seed_gives_the_same_weights_and_draws_from_no_other_generator() -> None:
    import torch

    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, same = (make_weights().load_model(torch.float32) for _ in range(2))
    other = make_weights(seed=2).load_model(torch.float32)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.lm_head.weight, same.lm_head.weight)
    assert not torch.equal(one.lm_head.weight, other.lm_head.weight)


def test_two_tokenizers_read_one_text_in_other_tokens_and_give_it_back() -> None:
    one, other = (make_weights(max_digits=digits).load_tokenizer() for digits in (1, 3))
    text = "ba lo mi 1234 is what?"
    ids = [tokenizer(text)["input_ids"] for tokenizer in (one, other)]
    assert ids[0] != ids[1]
    assert [t.decode(i) for t, i in zip((one, other), ids, strict=True)] == [text, text]
    assert len(one) < SIZES["vocab_size"]


def test_an_architecture_that_nobody_builds_is_refused() -> None:
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=r"architecture=rwkv is none of qwen2, llama"):
        make_weights(architecture="rwkv")
