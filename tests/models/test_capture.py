"""Captured K and V against k_proj of the block's input, the model's own cache and its gradient."""

import copy

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from kvdistill import distributed
from kvdistill.errors import ConfigError
from kvdistill.models.capture import Capture
from kvdistill.models.decoder import truncate_decoder
from kvdistill.types import Tokens

# transformers renames these methods; the lowest supported version still has the old names only.
pytestmark = pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*:FutureWarning")

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 50,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
CONFIGS = {
    "llama": LlamaConfig(**SIZES),
    "llama3": LlamaConfig(**SIZES, rope_parameters=LLAMA3),
    "smollm2": LlamaConfig(**SIZES, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=16),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
    "mistral_sliding": MistralConfig(**SIZES, sliding_window=8),
    "gemma": GemmaConfig(**SIZES, head_dim=16),
    "gemma2": Gemma2Config(**SIZES, head_dim=16, sliding_window=8),
    "gemma3": Gemma3TextConfig(**SIZES, head_dim=16, sliding_window=64),
    "granite": GraniteConfig(**SIZES, attention_multiplier=0.3),
}
BOTH = ("keys", "values")


def build_model(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(copy.deepcopy(CONFIGS[name]))
        for parameter in model.parameters():  # biases and norms are born constant
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def make_tokens(batch=2, seq=7):
    ids = torch.randint(3, 50, (batch, seq), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(batch, seq, dtype=torch.bool)
    mask[0, -2:] = False
    return Tokens(ids, mask, mask)


def run_forward(model, tokens, **kwargs):
    return model(input_ids=tokens.ids, attention_mask=tokens.mask.long(), use_cache=False, **kwargs)


def capture_layers(model, layers, tokens, **kwargs):
    capture = Capture(model, layers, **kwargs)
    with capture:
        run_forward(model, tokens)
    return capture.pop_layers(tokens)


@pytest.mark.integration
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("seq", [1, 2, 4, 7])  # 2 and 4 heads: square layouts must not be mixed up
def test_rotated_captured_keys_and_values_are_the_cache(name, seq):
    model, tokens = build_model(name).eval(), make_tokens(seq=seq)
    tokens = Tokens(tokens.ids, torch.ones_like(tokens.mask), tokens.answer)
    with torch.no_grad():
        cache = model(input_ids=tokens.ids, use_cache=True).past_key_values
        layers = capture_layers(model, [0, 1, 2], tokens)
    turn = Capture(model, [0, 1, 2]).read_rotaries()
    positions = torch.arange(seq).expand(2, seq)
    for at, layer in layers.items():
        torch.testing.assert_close(layer.kv.values, cache.layers[at].values)
        torch.testing.assert_close(
            turn[at].rotate(layer.kv.keys, positions), cache.layers[at].keys, atol=1e-5, rtol=1e-5
        )
        assert layer.kv.mask is tokens.mask


def test_captured_keys_are_k_proj_of_the_blocks_input():
    model, tokens = build_model("qwen2").eval(), make_tokens()
    with torch.no_grad():
        hidden = run_forward(model, tokens, output_hidden_states=True).hidden_states
        layer = capture_layers(model, [1], tokens)[1]
    block = model.model.layers[1]
    by_hand = block.self_attn.k_proj(block.input_layernorm(hidden[1])).view(2, 7, 2, 8)
    torch.testing.assert_close(layer.kv.keys, by_hand.transpose(1, 2))


# Their own factor of the logits is 16^-0.5 for all but three: 256^-0.5 of Gemma, 0.3 of Granite.
@pytest.mark.parametrize(
    ("name", "attention"),
    [
        *((name, "sdpa") for name in ("qwen2", "qwen3", "gemma3", "granite")),
        *((name, "eager") for name in ("qwen2", "gemma2", "gemma3", "granite")),
    ],
)
def test_rotated_queries_and_keys_give_the_models_own_attention(name, attention):
    model, tokens = build_model(name).eval(), make_tokens()
    model.set_attn_implementation(attention)
    capture = Capture(model, [1], with_attention=True)
    model.set_attn_implementation("eager")
    with torch.no_grad(), capture:
        weights = run_forward(model, tokens, output_attentions=True).attentions[1]
    layer = capture.pop_layers(tokens)[1]
    keys = layer.rotated_keys.repeat_interleave(2, dim=1)
    scores = layer.rotated_queries @ keys.transpose(-1, -2) / keys.shape[-1] ** 0.5
    if cap := getattr(model.config, "attn_logit_softcapping", None):
        scores = cap * torch.tanh(scores / cap)
    future = torch.ones(7, 7, dtype=torch.bool).triu(1)
    expected = scores.masked_fill(future | ~tokens.mask[:, None, None], -torch.inf).softmax(-1)
    torch.testing.assert_close(expected, weights, atol=1e-5, rtol=1e-4)


def test_queries_are_only_taken_when_asked_for():
    assert capture_layers(build_model("llama"), [0], make_tokens())[0].rotated_queries is None


def compute_gradients(model, part, checkpointing):
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    layers = capture_layers(model, [0, 1, 2], make_tokens())
    loss = sum(getattr(layer.kv, part).square().mean() for layer in layers.values())
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("part", BOTH)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_loss_on_one_part_reaches_that_projection_in_every_layer(part, checkpointing):
    gradients = compute_gradients(build_model("qwen3"), part, checkpointing)
    for layer in range(3):
        weight = gradients[f"model.layers.{layer}.self_attn.{part[0]}_proj.weight"]
        assert weight.abs().max() > 0
    other = {"keys": "v", "values": "k"}[part]
    assert f"model.layers.2.self_attn.{other}_proj.weight" not in gradients


@pytest.mark.parametrize("part", BOTH)
def test_checkpointing_changes_no_gradient(part):
    plain, checkpointed = (
        compute_gradients(build_model("gemma3"), part, on) for on in (False, True)
    )
    assert plain.keys() == checkpointed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(gradient, checkpointed[name])


def test_recomputation_leaves_nothing_behind():
    model = build_model("llama").train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    capture = Capture(model, [0, 1, 2])
    with capture:
        run_forward(model, make_tokens())
    capture.pop_layers(make_tokens())[
        2
    ].kv.keys.sum().backward()  # recomputes, so the hooks fire again
    with pytest.raises(RuntimeError, match="did not run inside"):
        capture.pop_layers(make_tokens())


def test_a_forward_outside_the_context_is_not_recorded():
    model = build_model("llama")
    capture = Capture(model, [0])
    run_forward(model, make_tokens())
    with pytest.raises(RuntimeError, match=r"layers \[0\] did not run inside"):
        capture.pop_layers(make_tokens())


class Student(torch.nn.Module):
    """What a trainer would wrap: a forward whose loss reads captured K and V."""

    def __init__(self, model):
        super().__init__()
        self.model, self.capture = model, Capture(model, [0, 1, 2])

    def forward(self, tokens):
        with self.capture:
            run_forward(self.model.model, tokens)
        layers = self.capture.pop_layers(tokens).values()
        return sum((x.kv.keys + x.kv.values).square().mean() for x in layers)


@pytest.fixture
def process_group():
    """A gloo group of this process alone, as DDP needs one."""
    dist = torch.distributed
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    # Not torch's own: the DDP model may die after the group, and would wait for its threads.
    distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_distributed_data_parallel_reduces_the_gradient_of_captured_kv():
    alone, student = Student(build_model("qwen3").train()), Student(build_model("qwen3").train())
    wrapped = torch.nn.parallel.DistributedDataParallel(student, find_unused_parameters=True)
    for module in (alone, wrapped):
        module(make_tokens()).backward()
    for layer in range(3):
        ours, theirs = (s.model.model.layers[layer].self_attn.k_proj for s in (alone, student))
        assert ours.weight.grad.abs().max() > 0
        torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)


def test_a_failed_forward_leaves_nothing_to_take():
    model = build_model("llama")
    capture = Capture(model, [0])
    model.lm_head = torch.nn.Linear(1, 1)  # too narrow: fails after the layers have run
    with pytest.raises(RuntimeError, match="shapes"), capture:
        run_forward(model, make_tokens())
    with pytest.raises(RuntimeError, match="did not run inside"):
        capture.pop_layers(make_tokens())


def test_reentrant_checkpointing_is_refused_by_name():
    model = build_model("llama").train()
    model.gradient_checkpointing_enable({"use_reentrant": True})
    with pytest.raises(ConfigError, match="use_reentrant"), Capture(model, [0]):
        pass


def test_a_student_layer_that_cannot_learn_is_refused():
    model = build_model("llama").train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("layers.2" in name)
    with pytest.raises(ConfigError, match="student layer 1, whose K or V depends on no trainable"):
        capture_layers(model, [1, 2], make_tokens())
    assert capture_layers(model, [2], make_tokens())[2].kv.keys.requires_grad


@pytest.mark.parametrize("trained", ["k_proj", "v_proj"])
def test_a_layer_with_only_one_part_to_learn_is_refused(trained):
    model = build_model("llama").train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(f"layers.0.self_attn.{trained}" in name)
    with pytest.raises(ConfigError, match="student layer 0, whose K or V"):
        capture_layers(model, [0], make_tokens())


def test_lora_wrapped_projections_are_captured_with_their_update():
    peft = pytest.importorskip("peft")
    model = peft.get_peft_model(
        build_model("qwen2"),
        peft.LoraConfig(r=2, target_modules=["k_proj", "v_proj"], init_lora_weights=False),
    ).train()
    layers = capture_layers(model, [0, 2], make_tokens())
    (layers[2].kv.keys.sum() + layers[2].kv.values.sum()).backward()
    trained = [n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()]
    assert any("layers.2.self_attn.k_proj.lora_B" in name for name in trained)
    assert any("layers.2.self_attn.v_proj.lora_B" in name for name in trained)
    with model.disable_adapter():
        bare = capture_layers(model.get_base_model().eval(), [0], make_tokens())[0]
    assert not torch.allclose(bare.kv.keys, layers[0].kv.keys)


def test_bf16_autocast_gives_finite_keys_with_gradient():
    model = build_model("qwen2").train()
    capture = Capture(model, [1], with_attention=True)
    with torch.autocast("cpu", dtype=torch.bfloat16), capture:
        run_forward(model, make_tokens())
    layer = capture.pop_layers(make_tokens())[1]
    assert layer.kv.values.dtype == layer.rotated_queries.dtype == torch.bfloat16
    assert layer.kv.keys.isfinite().all()
    layer.kv.keys.float().sum().backward()
    assert model.model.layers[1].self_attn.k_proj.weight.grad.abs().max() > 0


def build_biased_model(kind):
    """Keys and values with a bias 300 times their spread, in layers of one or of three matrices."""
    sizes = {key: value for key, value in SIZES.items() if key != "num_key_value_heads"}
    fused = kind == "fused"
    config = GPTNeoXConfig(**sizes, attention_bias=True) if fused else Qwen2Config(**SIZES)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).eval()
        for name, parameter in model.named_parameters():
            if name.endswith(("k_proj.bias", "v_proj.bias", "query_key_value.bias")):
                torch.nn.init.normal_(parameter, std=300.0)
        if kind == "lora":
            peft = pytest.importorskip("peft")
            targets = ["k_proj", "v_proj"]
            lora = peft.LoraConfig(r=2, target_modules=targets, init_lora_weights=False)
            model = peft.get_peft_model(model, lora).eval()
    return model


def measure_noise(half, exact):
    """Squared error over the variance that tells tokens apart."""
    variance = exact.var(dim=(0, 2)).mean()
    return float((half - exact).detach().square().mean() / variance)


@pytest.mark.parametrize("kind", ["apart", "fused", "lora"])
def test_a_bias_hundreds_of_times_the_spread_costs_keys_and_values_no_bits(kind):
    model, tokens = build_biased_model(kind), make_tokens(8, 13)
    tokens = Tokens(tokens.ids, torch.ones_like(tokens.mask), tokens.answer)
    with torch.no_grad():
        exact = capture_layers(model, [0], tokens, with_attention=True)[0]
    assert exact.kv.bias is None  # float32 computes as it always did
    capture = Capture(model, [0], with_attention=True)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), capture:
        run_forward(model, tokens)
    layer = capture.pop_layers(tokens)[0]
    assert layer.kv.keys.dtype == torch.bfloat16
    for part in BOTH:
        expected, half = getattr(exact.kv, part), getattr(layer.kv.add_bias(), part)
        spread = expected.var(dim=(0, 2)).mean().sqrt()
        assert expected.mean(dim=(0, 2)).abs().max() > 100 * spread
        assert measure_noise(expected.bfloat16().float(), expected) > 1e-2  # rounded with it
        assert measure_noise(half, expected) < 1e-4
    torch.testing.assert_close(layer.rotated_keys.float(), exact.rotated_keys, atol=4.0, rtol=0.01)
    # Queries are held in half precision and completed when they are read.
    assert layer.queries.dtype == torch.bfloat16
    completed = layer.complete_queries()
    torch.testing.assert_close(completed.float(), exact.complete_queries(), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("kind", ["apart", "fused", "lora"])
def test_a_captured_model_computes_as_one_that_is_not(kind):
    model, tokens = build_biased_model(kind), make_tokens()
    copied = copy.deepcopy(model)
    for _ in range(2):  # a second one finds what the first has changed
        Capture(model, [0, 1])
    for dtype in (torch.float32, torch.bfloat16):
        with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            ours, plain = (run_forward(each, tokens).logits.float() for each in (model, copied))
        # In half precision one rounding more.
        tolerance = 0.0 if dtype == torch.float32 else 0.02 * float(plain.abs().max())
        torch.testing.assert_close(ours, plain, atol=tolerance, rtol=0)


def test_a_copy_of_a_captured_model_computes_with_its_own_weights():
    model = build_biased_model("apart").bfloat16()
    Capture(model, [0])
    copied = copy.deepcopy(model)
    before = run_forward(model, make_tokens()).logits
    for parameter in copied.model.layers[0].self_attn.k_proj.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(run_forward(model, make_tokens()).logits, before)
    assert not torch.equal(run_forward(copied, make_tokens()).logits, before)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_in_bf16_a_loss_on_keys_reaches_their_bias(checkpointing):
    model, tokens = build_biased_model("apart").train(), make_tokens()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    capture = Capture(model, [0, 1, 2])
    with torch.autocast("cpu", torch.bfloat16), capture:
        run_forward(model, tokens)
    layers = capture.pop_layers(tokens)
    # Gradient of a sum: every token counts once.
    sum(layer.kv.add_bias().keys.sum() for layer in layers.values()).backward()
    for layer in model.model.layers:
        assert layer.self_attn.k_proj.weight.grad.abs().max() > 0
    # Of the last layer every token counts once, and nothing behind it is read.
    expected = torch.full((16,), float(tokens.mask.numel()))
    torch.testing.assert_close(model.model.layers[2].self_attn.k_proj.bias.grad, expected)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_cut_teacher_gives_the_same_kv_without_the_layers_above(name):
    model, tokens = build_model(name).eval(), make_tokens()
    with torch.no_grad():
        expected = capture_layers(model, [0, 1], tokens)
        body = truncate_decoder(build_model(name), 1).eval()
        capture = Capture(body, [0, 1])
        with capture:
            out = run_forward(body, tokens)
    for at, layer in capture.pop_layers(tokens).items():
        torch.testing.assert_close(layer.kv.keys, expected[at].kv.keys)
        torch.testing.assert_close(layer.kv.values, expected[at].kv.values)
    assert len(body.layers) == 2
    assert not hasattr(out, "logits")
    names = {name for name, _ in body.named_parameters()}
    gone = ("lm_head", "layers.2", "layers.1.mlp")
    assert "norm.weight" not in names
    assert not [name for name in names if any(part in name for part in gone)]


def test_cutting_leaves_a_shared_config_alone():
    model = build_model("qwen2")
    config = model.config
    body = truncate_decoder(model, 0)
    assert (config.num_hidden_layers, len(config.layer_types)) == (3, 3)
    assert (body.config.num_hidden_layers, len(body.config.layer_types)) == (1, 1)


@pytest.mark.parametrize("layer", [-1, 3])
def test_a_layer_outside_the_model_is_refused(layer):
    with pytest.raises(ConfigError, match=f"layer {layer}, but the model has 0 to 2"):
        Capture(build_model("llama"), [layer])
    with pytest.raises(ConfigError, match=f"layer {layer}, but the model has 0 to 2"):
        truncate_decoder(build_model("llama"), layer)
