"""Only the positions at which a continuation can stand get logits, and all read as if all did."""

import pytest
import torch

from kvdistill.evaluate.backends.hf import CachedHFLM
from kvdistill.evaluate.response_cache import ResponseCache
from tests.evaluate.tiny_models import byte_tokenizer, make_tiny_model

PROMPTS = ["Question: what is it?" * 3, "Answer: A" * 4, "Reasoning: so" * 3, "Answer:" * 5]
ANSWERS = [[0, 0], [7, 0, 9, 11, 12], [3], [5, 0, 0]]
"""Ids that end rows with token 0, by which lm-eval pads, too."""


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
@pytest.mark.parametrize("size", [1, 3])
def test_fewer_logits_are_the_same_scores(kind, size, monkeypatch):
    tokenizer = byte_tokenizer()
    model = make_tiny_model(tokenizer, kind)
    shapes = []
    model.lm_head.register_forward_hook(lambda *io: shapes.append(io[2].shape[1]))
    requests = [
        (None, tokenizer.encode(prompt), answer)
        for prompt in PROMPTS for answer in ANSWERS
    ]  # fmt: skip

    def score(limits: bool) -> list[tuple[float, bool]]:
        lm = CachedHFLM(
            model, tokenizer, batch_size=size, max_length=64, responses=ResponseCache(),
            progress=None,
        )  # fmt: skip
        assert lm._limits_logits
        monkeypatch.setattr(lm, "_limits_logits", limits)
        shapes.clear()
        return lm._loglikelihood_tokens(requests, disable_tqdm=True)

    whole, positions = score(limits=False), sum(shapes)
    kept = score(limits=True)
    assert [greedy for _, greedy in kept] == [greedy for _, greedy in whole]
    torch.testing.assert_close(
        torch.tensor([value for value, _ in kept]), torch.tensor([value for value, _ in whole])
    )
    assert sum(shapes) < 0.7 * positions
