"""A teacher's head apart from its decoder: the model's own logits, to the bit."""

import pytest
import torch

from tests.house.families import build_config, build_model


def build_twins(name: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Two models of equal weights: one to be taken apart, one that stays whole."""
    twins = []
    for _ in range(2):
        torch.manual_seed(3)
        twins.append(build_model(build_config(name)).eval())
    return twins[0], twins[1]


@pytest.mark.parametrize(
    # A plain head, one that is tied, capped, scaled, scaled otherwise, with a bias, and decoders
    # whose outputs have other fields or that lie a level deeper.
    "name",
    ["Llama", "Qwen 2", "Gemma 2", "Granite", "Cohere 2", "Phi", "GPT-2", "Mixtral", "OPT"],
)
def test_states_pass_the_models_own_code(name: str) -> None:
    from kvdistill.models.answer_head import split_causal_lm

    apart, whole = build_twins(name)
    body, head = split_causal_lm(apart, "teachers.a")
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        hidden = body(input_ids=ids, use_cache=False).last_hidden_state[0]
        logits = whole(input_ids=ids, use_cache=False).logits[0]
        assert torch.equal(head(hidden), logits)
        # Nothing is held afterwards, and another number of tokens is as good.
        assert head(hidden[:0]).shape == (0, logits.shape[1])
        torch.testing.assert_close(head(hidden[4:7]), logits[4:7])
    assert not any(
        parameter.requires_grad for parameter in (*body.parameters(), *head.parameters())
    )


def test_a_model_whose_logits_need_more_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.models.answer_head import split_causal_lm

    model, _ = build_twins("Llama")
    head, calls = model.lm_head.forward, []
    # Adds what only the decoder knows, and does not say in its states.
    model.model.embed_tokens.register_forward_hook(lambda *_: calls.append(1))
    monkeypatch.setattr(model.lm_head, "forward", lambda x: head(x) + len(calls))
    with pytest.raises(ConfigError, match=r"distributions of teachers\.a, but LlamaForCausalLM"):
        split_causal_lm(model, "teachers.a")


@pytest.mark.parametrize("name", ["Llama", "Qwen 2"])
def test_a_head_that_is_loaded_alone_is_that_of_the_whole(name: str, tmp_path) -> None:
    from kvdistill.models.geometry import read_geometry
    from kvdistill.models.load import load_body_and_head, load_head

    model, _ = build_twins(name)
    model.save_pretrained(tmp_path / "model")
    node = {"name": "a", "dtype": "float32", "geometry": read_geometry(model.config)}
    body, head = load_body_and_head(node, "teachers.a", tmp_path)
    alone = load_head(node, "teachers.a", tmp_path)
    assert sum(p.numel() for p in alone.parameters()) < sum(p.numel() for p in body.parameters())
    with torch.no_grad():
        hidden = body(input_ids=torch.arange(3, 20)[None]).last_hidden_state[0]
        assert torch.equal(head(hidden), alone(hidden))
