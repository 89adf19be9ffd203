"""Folders that load as they were built, bits that repeat, and a loss counted by hand."""

import itertools
import json
import math
from dataclasses import replace

import pytest
import torch
from hydra import compose
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from kvdistill.config.build import build_node
from kvdistill.data.prompt_style import Style
from kvdistill.data.sources.nano import Nano as Source
from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models.geometry import verify_geometry
from kvdistill.models.nano import Nano
from kvdistill.models.nano_tokenizer import train_tokenizer
from kvdistill.models.nano_training import (
    EncodedText,
    Training,
    answer_loss,
    compute_lr_factor,
    encode_text,
    iterate_batches,
)

GEOMETRY = Geometry(
    layers=2, hidden_size=16, intermediate_size=24, heads=2, kv_heads=1, head_dim=8, vocab_size=320
)
STYLE = Style(
    templates={
        "cot": {"prompt": "Q: {question}\nR:", "answer": " {rationale} #### {answer}"},
        "direct": {"prompt": "Q: {question}\nA:", "answer": " {answer}"},
    }
)
TRAINING = Training(steps=3, batch_size=4, lr=1e-2)
RECIPE = Nano(
    architecture="qwen2", max_digits=1, rope_theta=1e4, init_std=0.1, style=STYLE, seed=5,
    training=TRAINING,
)  # fmt: skip
LLAMA = replace(RECIPE, architecture="llama", max_digits=3)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """A split with the teachers' half alone: nothing else may be read."""
    folder = tmp_path_factory.mktemp("split")
    lines = [json.dumps(vars(record)) for record in Source(rows=6, seed=0).records()]
    (folder / "train_teachers.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def texts():
    records = Source(rows=12, seed=1).records()
    return [text.text for record in records for text in STYLE.render(record)]


def ignore_progress(done, total):
    pass


def build_weights(recipe, split, out, progress=ignore_progress):
    recipe.build(GEOMETRY, split, out, progress)
    return load_file(out / "model.safetensors")


def are_equal(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


@pytest.mark.parametrize("recipe", [RECIPE, LLAMA])
def test_the_folder_loads_as_the_stated_geometry(recipe, split, tmp_path):
    weights = build_weights(recipe, split, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    verify_geometry(GEOMETRY, model.config, "student.geometry")
    assert model.config.model_type == recipe.architecture
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)
    assert torch.equal(model.model.norm.weight, weights["model.norm.weight"])


@pytest.mark.parametrize("recipe", [RECIPE, LLAMA])
def test_the_loaded_tokenizer_reads_as_the_trained_one(recipe, split, tmp_path, texts):
    build_weights(replace(recipe, training=None), split, tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    records = Source(rows=6, seed=0).records()
    trained = train_tokenizer(
        (text.text for record in records for text in STYLE.render(record)),
        GEOMETRY.vocab_size,
        recipe.max_digits,
    )
    odd = ["don't  stop\r\n", "\u00e9\u4f60\U0001f600", "x1234567 y", "  "]
    for text in [*texts, *odd]:
        expected, encoding = (t(text, return_offsets_mapping=True) for t in (trained, loaded))
        assert encoding["input_ids"] == expected["input_ids"]
        assert encoding["offset_mapping"] == expected["offset_mapping"]
        assert loaded.decode(encoding["input_ids"], clean_up_tokenization_spaces=False) == text


def test_one_family_reads_digits_singly_and_the_other_packs_three():
    def pieces(max_digits):
        tokenizer = train_tokenizer(["a 1234 b 1234 c"] * 9, 300, max_digits)
        return [tokenizer.decode([token]) for token in tokenizer("1234")["input_ids"]]

    assert pieces(1) == ["1", "2", "3", "4"]
    assert pieces(3) == ["123", "4"]


def test_the_same_recipe_twice_is_the_same_bits(split, tmp_path):
    first = build_weights(RECIPE, split, tmp_path / "a")
    torch.manual_seed(123)
    torch.set_num_threads(2)
    assert are_equal(first, build_weights(RECIPE, split, tmp_path / "b"))
    files = [(tmp_path / name / "tokenizer.json").read_bytes() for name in "ab"]
    assert files[0] == files[1]


def test_another_seed_is_another_model(split, tmp_path):
    other = replace(RECIPE, seed=6)
    assert not are_equal(
        build_weights(RECIPE, split, tmp_path / "a"), build_weights(other, split, tmp_path / "b")
    )


def test_the_global_random_state_and_the_threads_stay(split, tmp_path):
    torch.set_num_threads(2)
    before = torch.random.get_rng_state()
    build_weights(RECIPE, split, tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == 2


def test_progress_counts_every_step(split, tmp_path):
    calls = []
    build_weights(RECIPE, split, tmp_path, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_a_raw_model_is_as_initialised(split, tmp_path):
    weights = build_weights(replace(RECIPE, training=None), split, tmp_path)
    assert weights["model.embed_tokens.weight"].std().item() == pytest.approx(0.1, rel=0.1)
    assert bool((weights["model.norm.weight"] == 1).all())


@pytest.mark.integration
def test_training_lowers_the_loss(split, tmp_path):
    texts = [text for record in Source(rows=6, seed=0).records() for text in STYLE.render(record)]
    losses = []
    for name, training in (("raw", None), ("taught", Training(steps=30, batch_size=8, lr=5e-3))):
        build_weights(replace(RECIPE, training=training), split, tmp_path / name)
        model = AutoModelForCausalLM.from_pretrained(tmp_path / name)
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / name)
        rows = [encode_text(tokenizer, text.prompt, text.answer) for text in texts]
        with torch.no_grad():
            losses.append(answer_loss(model, rows).item())
    assert losses[1] < losses[0] - 0.5


def test_the_loss_is_the_mean_over_answer_tokens_one_by_one():
    config = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).eval()
    texts = [([3, 4, 5, 6, 7, 8, 9], 4), ([11, 12, 13], 1), ([21, 22, 23, 24], 3)]
    batch = [EncodedText(*text) for text in texts]
    expected = []
    with torch.no_grad():
        for ids, begin in batch:
            scores = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            expected += [-scores[at - 1, ids[at]].item() for at in range(begin, len(ids))]
        loss = answer_loss(model, batch).item()
    assert loss == pytest.approx(sum(expected) / len(expected), rel=1e-5)


def test_an_answer_starts_at_the_first_token_that_holds_none_of_the_prompt():
    tokenizer = train_tokenizer(["Q: a\nA: b"], 270, 1)
    ids, start = encode_text(tokenizer, "Q: a\nA:", " b")
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids[start:-1]) == " b"


def test_four_batches_of_like_length_are_cut_from_four_batches_of_rows():
    rows = [EncodedText([0] * (number % 7 + 1), number) for number in range(24)]
    batches = iterate_batches(rows, 2, 0)
    epoch = [next(batches) for _ in range(12)]
    assert sorted(number for batch in epoch for _, number in batch) == list(range(24))
    for four in (epoch[:4], epoch[4:8], epoch[8:]):
        lengths = sorted(sorted(len(ids) for ids, _ in batch) for batch in four)
        flat = [length for batch in lengths for length in batch]
        assert flat == sorted(flat)
    again = [next(batches) for _ in range(12)]
    assert again != epoch


def test_the_rate_warms_up_over_a_tenth_and_never_reaches_zero():
    rates = [compute_lr_factor(step, 20) for step in range(20)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[11] == pytest.approx(0.5)
    assert all(after < before for before, after in itertools.pairwise(rates[2:]))
    assert rates[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 17 / 18)))
    assert compute_lr_factor(0, 1) == 1.0


@pytest.mark.parametrize("teachers", ["four", "mixed_size"])
def test_every_yaml_states_a_geometry_that_its_recipe_can_make(hydra, teachers):
    config = compose("config", overrides=["scale=nano", f"teachers={teachers}"])
    tokenizer = train_tokenizer(["a"], 258, 1)
    for node in [config.student, *config.teachers.values()]:
        recipe = build_node("student.build", node.build)
        geometry = Geometry(**node.geometry)
        with torch.device("meta"):
            model = recipe.initialise_model(geometry, tokenizer)
        verify_geometry(geometry, model.config, node.name)
        assert node.reads_split is True
        size = sum(weight.numel() for weight in model.parameters())
        low, high = (190_000, 230_000) if node is config.student else (650_000, 2_500_000)
        assert low < size < high, node.name


def test_an_unknown_architecture_is_refused():
    with pytest.raises(ConfigError, match=r"build\.architecture=gpt is none of qwen2, llama"):
        replace(RECIPE, architecture="gpt")


def test_digits_below_one_are_refused():
    with pytest.raises(ConfigError, match=r"build\.max_digits must be at least 1, got 0"):
        replace(RECIPE, max_digits=0)


@pytest.mark.parametrize("field", ["steps", "batch_size", "lr"])
def test_training_of_nothing_is_refused(field):
    with pytest.raises(ConfigError, match=rf"build\.training\.{field} must be positive, got 0"):
        replace(TRAINING, **{field: 0.0 if field == "lr" else 0})


@pytest.mark.parametrize("wrong", [{"hidden_size": 15}, {"kv_heads": 3}, {"head_dim": 7}])
def test_a_geometry_that_no_model_can_have_is_refused(wrong, split, tmp_path):
    [(field, value)] = wrong.items()
    with pytest.raises(ConfigError, match=rf"{field}={value}.* cannot be built: heads must divide"):
        RECIPE.build(replace(GEOMETRY, **wrong), split, tmp_path, ignore_progress)
