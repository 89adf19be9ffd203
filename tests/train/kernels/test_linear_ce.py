"""Cross-entropy without all logits against cross-entropy of the logits."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, Gemma2Config, GraniteConfig, Qwen2Config

from kvdistill.errors import ConfigError
from kvdistill.models.head import LMHead
from kvdistill.train.kernels import linear_ce
from kvdistill.train.kernels.linear_ce import check_linear_ce, get_linear_ce, sum_chunked_ce
from kvdistill.train.module import Distiller
from kvdistill.train.objective import LossWeights
from kvdistill.types import Batch, Tokens
from tests.bench.gpu_ready.live_bytes import LiveBytes

SIZES = {
    "vocab_size": 64, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 2, "pad_token_id": 0,
}  # fmt: skip
WEIGHTS = LossWeights(ce=1.0, kv=1.0, entropy=0.0, keys=1.0, values=1.0)


def build_model(config):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config)


def make_batch():
    ids = torch.randint(1, 64, (2, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[1, -3:] = False
    answer = torch.arange(9).expand(2, -1) > 3
    return Batch(Tokens(ids, mask, answer), {}, ["a", "b"], ["t", "t"])


@pytest.mark.parametrize("rows", [0, 1, 7, 12])
def test_chunks_give_the_loss_and_gradients_of_all_logits(rows):
    torch.manual_seed(0)
    head = nn.Linear(8, 32)
    hidden = torch.randn(rows, 8, requires_grad=True)
    labels = torch.randint(32, (rows,))
    whole = F.cross_entropy(head(hidden), labels, reduction="sum")
    expected = torch.autograd.grad(whole, [hidden, head.weight, head.bias])
    chunked = sum_chunked_ce(head, hidden, labels, chunk_logits=3 * 32)
    torch.testing.assert_close(chunked, whole)
    if rows:
        gradients = torch.autograd.grad(chunked, [hidden, head.weight, head.bias])
        torch.testing.assert_close(gradients, expected)


def test_chunks_hold_a_fraction_of_the_bytes():
    rows, width, vocabulary = 256, 16, 2048
    head = nn.Linear(width, vocabulary, bias=False)
    labels = torch.randint(vocabulary, (rows,))
    peaks = []
    for compute in (
        lambda hidden: F.cross_entropy(head(hidden).float(), labels, reduction="sum"),
        lambda hidden: sum_chunked_ce(head, hidden, labels, chunk_logits=16 * vocabulary),
    ):
        hidden, counter = torch.randn(rows, width, requires_grad=True), LiveBytes()
        head.weight.grad = torch.zeros_like(head.weight)
        with counter:
            compute(hidden).backward()
        peaks.append(counter.peak)
    logits = 4 * rows * vocabulary
    assert peaks[0] > 2 * logits
    assert peaks[1] < logits / 2


@pytest.mark.parametrize("tied", [True, False])
def test_a_module_trains_alike_with_and_without_logits(tied, monkeypatch):
    monkeypatch.setattr(linear_ce, "CHUNK_LOGITS", 3 * 64)
    losses, gradients = [], []
    for compute in (None, get_linear_ce("chunked")):
        model = build_model(Qwen2Config(**SIZES, tie_word_embeddings=tied))
        module = Distiller(model, None, {}, WEIGHTS, linear_ce=compute).train()
        loss = module(make_batch()).ce
        loss.backward()
        losses.append(loss.detach())
        gradients.append({name: p.grad for name, p in module.named_parameters()})
    torch.testing.assert_close(*losses)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


@pytest.mark.parametrize(
    "config", [Gemma2Config(**SIZES, head_dim=8, final_logit_softcapping=0.01),
               GraniteConfig(**SIZES, logits_scaling=4.0)]
)  # fmt: skip
def test_a_model_that_does_more_to_its_logits_is_refused(config):
    with pytest.raises(ConfigError, match=r"train\.linear_ce: .*scales or caps its logits"):
        LMHead(build_model(config)).check_bare()


def test_what_is_not_installed_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr(linear_ce, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"liger needs the package liger-kernel.*chunked"):
        check_linear_ce("liger")
    assert get_linear_ce("none") is None
