"""LoRA on projections of any name, merged into what it was trained as."""

import pytest

# transformers renames a property that PEFT still reads under its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*:FutureWarning")


@pytest.mark.parametrize(
    ("name", "targets"),
    [("GPT-2", ["c_attn", "c_fc"]), ("Phi-3", ["qkv_proj"]), ("GPT-NeoX", ["query_key_value"])],
)
def test_updates_of_fused_projections_are_trained_and_merged(name: str, targets: list[str]) -> None:
    import torch

    from kvdistill.models.capture import Capture
    from kvdistill.models.lora import Lora
    from tests.house.families import build_config, build_model, make_tokens

    adapter = Lora(rank=2, alpha=4, dropout=0.0, targets=targets)
    wrapped, tokens = adapter.wrap(build_model(build_config(name))), make_tokens()
    capture = Capture(wrapped, [0, 1])
    capture.check_trained()
    parameters = capture.list_kv_parameters()
    # Keys and values leave one projection: its two updates, once.
    assert len({id(p) for p in parameters}) == len(parameters) == 2 * 2
    for parameter in parameters:
        torch.nn.init.normal_(parameter)
    with torch.no_grad():
        before = wrapped(input_ids=tokens.ids, use_cache=False).logits
        merged = adapter.merge(wrapped)(input_ids=tokens.ids, use_cache=False).logits
    torch.testing.assert_close(merged, before, atol=1e-4, rtol=1e-4)


def test_a_target_that_the_student_lacks_is_refused_with_those_that_it_has() -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.models.lora import Lora
    from tests.house.families import build_config, build_model

    adapter = Lora(rank=2, alpha=4, dropout=0.0, targets=["k_proj", "gate_proj"])
    says = (
        r"names gate_proj, which PhiForCausalLM does not have\. Choose of dense, fc1, fc2, k_proj"
    )
    with pytest.raises(ConfigError, match=says):
        adapter.wrap(build_model(build_config("Phi")))


def test_without_its_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.models import lora

    monkeypatch.setattr(lora, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"peft: pip install .* -e '\.\[lora\]'\. Or train"):
        lora.Lora(rank=2, alpha=4, dropout=0.0, targets=["k_proj"])
