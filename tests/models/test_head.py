"""The head scores what it is asked for, and nothing else."""

import pytest

from tests.train.conftest import STUDENT, make_batch, make_model


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_chosen_tokens_get_the_scores_of_the_whole_forward(kind: str) -> None:
    import torch

    from kvdistill.models.head import LMHead

    student, tokens = make_model(STUDENT, kind), make_batch(names=()).student
    all_logits = student(input_ids=tokens.ids, attention_mask=tokens.mask.long()).logits
    token_counts: list[int] = []
    student.lm_head.register_forward_hook(lambda *parts: token_counts.append(parts[1][0].shape[1]))
    logits = LMHead(student)(tokens, tokens.logit_mask)
    torch.testing.assert_close(logits, all_logits[tokens.logit_mask])
    assert token_counts == [int(tokens.logit_mask.sum())] < [tokens.ids.numel()]


def test_gradients_are_those_of_the_masked_loss() -> None:
    import torch
    from torch.nn import functional as F

    from kvdistill.models.head import LMHead

    student, tokens = make_model(STUDENT, "qwen2"), make_batch(names=()).student
    labels = tokens.ids.masked_fill(~(tokens.answer & tokens.mask), -100)[:, 1:]
    all_logits = student(input_ids=tokens.ids, attention_mask=tokens.mask.long()).logits[:, :-1]
    F.cross_entropy(all_logits.flatten(0, 1), labels.flatten(), reduction="sum").backward()
    expected = {name: p.grad.clone() for name, p in student.named_parameters()}
    student.zero_grad()
    logits = LMHead(student)(tokens, tokens.logit_mask)
    F.cross_entropy(logits, tokens.ids[tokens.label_mask], reduction="sum").backward()
    for name, parameter in student.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-5, msg=name)


def test_elsewhere_the_model_scores_every_token() -> None:
    from kvdistill.models.head import LMHead

    student, tokens = make_model(STUDENT, "qwen2"), make_batch(names=()).student
    head = LMHead(student)
    head(tokens, tokens.logit_mask)
    out = student(input_ids=tokens.ids, attention_mask=tokens.mask.long())
    assert out.logits.shape[:2] == tokens.ids.shape


def test_a_text_without_an_answer_asks_for_nothing() -> None:
    import torch

    from kvdistill.models.head import LMHead

    student, tokens = make_model(STUDENT, "qwen2"), make_batch(names=()).student
    scores = LMHead(student)(tokens, torch.zeros_like(tokens.mask))
    assert len(scores) == 0
    scores.sum().backward()


def test_a_model_without_a_head_is_refused() -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.models.head import LMHead

    with pytest.raises(ConfigError, match="without an output layer"):
        LMHead(make_model(STUDENT, "qwen2").get_decoder())


def test_a_model_that_scores_past_its_head_is_refused() -> None:
    from kvdistill.models.head import LMHead

    student, tokens = make_model(STUDENT, "qwen2"), make_batch(names=()).student
    head = LMHead(student)
    student.lm_head = type(student.lm_head)(STUDENT["hidden_size"], STUDENT["vocab_size"])
    with pytest.raises(RuntimeError, match="does not score through its head"):
        head(tokens, tokens.logit_mask)
