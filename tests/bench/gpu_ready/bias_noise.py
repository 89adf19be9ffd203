"""What rounding to bfloat16 costs keys and values whose bias is hundreds of times their spread.

Qwen2's first layer has such keys. From the projection to the centred K and V that are projected and
compared: of a teacher in bfloat16, aligned, live and from a store, and of a student in float32
under autocast. The figures are the squared error over the centred variance, in percent, against
the same weights computed in float32; `together` is what rounding with the bias would cost.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from kvdistill.compression.full import Full
from kvdistill.geometry import Geometry
from kvdistill.kv.base import TeacherRequest
from kvdistill.kv.online import Online
from kvdistill.kv.quantise import QuantisedRows, dequantise_parts
from kvdistill.layers.base import LayerPair
from kvdistill.models.capture import Capture
from kvdistill.position.none import Unrotated
from kvdistill.train.objective import CalibrationStats
from kvdistill.train.step import align_teacher_kv
from kvdistill.train.store_layout import select_kept_rows
from kvdistill.types import KV, Links, Tokens
from tests.bench.gpu_ready.part import Part

BIAS_OVER_SPREAD = 300
PAIR = LayerPair(0, 0, 0, 0.0)
SIDES = ("teacher", "store", "student")
BOUND = 0.01
"""Percent."""


def measure(quick: bool) -> dict[str, float]:
    """The noise of each side, and what it would be with the bias."""
    texts = 4 if quick else 64
    noise = measure_noise(build_biased_model(), torch.randint(0, 512, (texts, 64)))
    return {f"bias_noise_percent_{name}": value for name, value in noise.items()}


def build_biased_model() -> PreTrainedModel:
    """One layer, whose keys and values have a bias BIAS_OVER_SPREAD times their deviation."""
    config = Qwen2Config(
        vocab_size=512, hidden_size=256, intermediate_size=256, num_hidden_layers=1,
        num_attention_heads=4, num_key_value_heads=2, head_dim=64,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config).eval().requires_grad_(False)
    layer = model.model.layers[0]
    hidden = layer.input_layernorm(model.model.embed_tokens.weight)
    for projection in (layer.self_attn.k_proj, layer.self_attn.v_proj):
        spread = projection(hidden).std(dim=0)
        projection.bias.copy_(BIAS_OVER_SPREAD * spread * torch.randn(len(spread)).sign())
    return model


@torch.no_grad()
def measure_noise(model: PreTrainedModel, ids: Tensor) -> dict[str, float]:
    """Percent of the centred variance, the worse of keys and values; the model's layer 0."""
    # Weights of bfloat16, whichever precision they are computed in.
    exact = copy.deepcopy(model).bfloat16().float()
    mask = torch.ones_like(ids, dtype=torch.bool)
    tokens = Tokens(ids, mask, mask)
    whole = read_student(exact, tokens)
    stats = make_stats(exact, whole)
    references = {"student": whole, **read_teacher(exact, tokens)}
    measured = {
        "student": read_student(exact, tokens, autocast=True),
        **read_teacher(copy.deepcopy(model).bfloat16(), tokens),
    }
    noise = {}
    for side in SIDES:
        what = "own" if side == "student" else "teacher0"
        half, reference = (stats.subtract_mean(kv[side], what, 0) for kv in (measured, references))
        noise[side] = compare(half, reference)
    rounded = KV(whole.keys.bfloat16().float(), whole.values.bfloat16().float(), whole.mask)
    noise["together"] = compare(*(stats.subtract_mean(kv, "own", 0) for kv in (rounded, whole)))
    return noise


def compare(half: KV, exact: KV) -> float:
    """Squared error over variance, in percent."""
    return max(
        float(100 * (x.float() - y).square().mean() / y.var(dim=(0, 2)).mean())
        for x, y in ((half.keys, exact.keys), (half.values, exact.values))
    )


def read_student(model: PreTrainedModel, tokens: Tokens, *, autocast: bool = False) -> KV:
    """K and V of layer 0, as captured in training."""
    capture = Capture(model, [0])
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast), capture:
        model(**tokens.model_inputs, use_cache=False)
    return capture.pop_layers(tokens)[0].kv


def read_teacher(model: PreTrainedModel, tokens: Tokens) -> Mapping[str, KV]:
    """K and V of layer 0 aligned with pairs of its tokens, and as a store in bfloat16 has them."""
    request = TeacherRequest(
        load_body=lambda: model, layer_pairs=[PAIR], compression=Full(), needs_rotary=False
    )
    teacher = Online(request)
    batch, seq = tokens.ids.shape
    (kept,) = teacher.read_kv_cache(tokens, [str(text) for text in range(batch)])
    rows = torch.arange(batch * seq).view(batch, seq)
    # Each token of the student lies over two of the teacher's, by shares that bfloat16 rounds.
    both = torch.stack((rows, rows.roll(1, dims=1)), dim=2).flatten()
    weight = torch.tensor([0.3, 0.7]).repeat(batch * seq)
    links = Links(both, weight, torch.arange(0, 2 * batch * seq, 2), seq, seq)
    ((_, (aligned,)),) = align_teacher_kv(kept, links, Unrotated(), teacher.rotaries)
    stored, _ = select_kept_rows(kept)
    flat = dequantise_parts([QuantisedRows.quantise(stored, "bfloat16")])
    keys, values = (
        flat[:, columns].view(batch, seq, kept.heads, -1).transpose(1, 2)
        for columns in kept.find_columns(0)
    )
    return {"teacher": aligned, "store": KV(keys, values, tokens.mask)}


def make_stats(model: PreTrainedModel, kv: KV) -> CalibrationStats:
    """The means of these K and V, as calibration sets them of both sides."""
    config = model.config
    geometry = Geometry(
        layers=1, hidden_size=config.hidden_size, intermediate_size=config.intermediate_size,
        heads=config.num_attention_heads, kv_heads=kv.keys.shape[1], head_dim=kv.keys.shape[3],
        vocab_size=config.vocab_size, tied_embeddings=False,
    )  # fmt: skip
    stats = CalibrationStats([PAIR], geometry, geometry)
    for name in ("keys", "values"):
        mean = getattr(kv, name).double().mean(dim=(0, 2))
        for what in ("own", "teacher0"):
            stats.read_stat(what, 0, name).copy_(mean)
    return stats


PART = Part(
    measure=measure,
    at_most={f"bias_noise_percent_{side}": BOUND for side in SIDES},
    # Else the layer would be too easy to prove anything.
    at_least={"bias_noise_percent_together": 1.0},
)
