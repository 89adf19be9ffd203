"""A teacher trained further from pretrained weights."""

import json

import pytest
import torch

from kvdistill.data.prompt_style import Style
from kvdistill.data.sources.nano import Nano as Source
from kvdistill.geometry import Geometry
from kvdistill.models.geometry import verify_geometry
from kvdistill.models.nano import Nano
from kvdistill.models.nano_training import (
    Training,
    answer_loss,
    encode_text,
    make_optimizers,
    render_split,
)
from kvdistill.models.pretrained import Pretrained
from kvdistill.models.tuned import Tuned

GEOMETRY = Geometry(
    layers=2, hidden_size=16, intermediate_size=24, heads=2, kv_heads=1, head_dim=8, vocab_size=320
)
STYLE = Style(templates={"direct": {"prompt": "Q: {question}\nA:", "answer": " {answer}"}})
TRAINING = Training(steps=12, batch_size=4, lr=1e-2, muon=False)


@pytest.fixture
def split(tmp_path):
    """A split with the teachers' half alone: nothing else may be read."""
    lines = [json.dumps(vars(record)) for record in Source(rows=6, seed=0).records()]
    (tmp_path / "train_teachers.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def source(split):
    recipe = Nano(
        architecture="llama", max_digits=1, rope_theta=1e4, init_std=0.1, style=STYLE, seed=5,
        training=None,
    )  # fmt: skip
    recipe.build(GEOMETRY, split, split / "source", lambda *_: None)
    return Pretrained(path=str(split / "source"))


def tune(source, split, name, seed=1):
    recipe = Tuned(source=source, style=STYLE, seed=seed, training=TRAINING)
    calls = []
    recipe.build(GEOMETRY, split, split / name, lambda *progress: calls.append(progress))
    assert calls == [(step, 12) for step in range(1, 13)]
    return Pretrained(path=str(split / name))


@pytest.mark.integration
def test_the_copy_answers_the_teachers_half_better_and_reads_it_alike(source, split):
    copy = tune(source, split, "copy")
    texts = render_split(split, STYLE)
    rows = [encode_text(copy.load_tokenizer(), text.prompt, text.answer) for text in texts]
    assert rows == [
        encode_text(source.load_tokenizer(), text.prompt, text.answer) for text in texts
    ]
    before, after = (each.load_model(torch.float32).eval() for each in (source, copy))
    verify_geometry(GEOMETRY, after.config, "geometry")
    with torch.no_grad():
        assert answer_loss(after, rows) < answer_loss(before, rows) - 1.0  # nats
    tuned, original = after.state_dict(), before.state_dict()
    assert not any(torch.equal(tuned[name], original[name]) for name in tuned)


def test_the_same_recipe_twice_is_the_same_bits_and_another_seed_is_not(source, split):
    first, second, other = (
        tune(source, split, name, seed).load_model(torch.float32).state_dict()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_without_muon_one_adamw_has_every_weight_once(source):
    model = source.load_model(torch.float32)
    (optimizer,) = make_optimizers(model, 1e-3, muon=False)
    assert isinstance(optimizer, torch.optim.AdamW)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    assert list(map(id, weights)) == list(map(id, model.parameters()))
    assert len(make_optimizers(model, 1e-3, muon=True)) == 2
