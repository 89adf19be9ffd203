"""A model that mixes up texts which share a row is refused by name, before and after loading."""

import pytest
import torch

from kvdistill.data.packing import Packing
from kvdistill.errors import ConfigError
from kvdistill.models.attention import check_packing
from kvdistill.models.attention.check_packing import check_packed_forward, count_layers
from tests.house.families import build_config, build_model


@pytest.fixture(autouse=True)
def _forget_answers(monkeypatch):
    monkeypatch.setattr(check_packing, "_answered", set())


@pytest.mark.parametrize("one_row", [False, True])
@pytest.mark.parametrize(
    "name", ["Llama", "Qwen 3 MoE", "Gemma 3", "EXAONE 4", "Llama 4", "GPT-2", "DeepSeek V3"]
)
def test_attention_over_whole_texts_windows_and_chunks_can_share_rows(name, one_row):
    check_packing.check_packing(build_config(name), "student", Packing(one_row))


@pytest.mark.parametrize(
    "name",
    ["Mamba", "Qwen 3 Next", "LFM2", "Falcon", "Falcon, ALiBi", "BLOOM", "OPT", "gpt-oss"],
)
def test_recurrences_convolutions_and_positions_of_a_models_own_are_refused_by_name(name):
    config = build_config(name)
    with pytest.raises(ConfigError, match=r"^teachers\.a \(\w+, .*packing.*Set train\.packing=f"):
        check_packing.check_packing(config, "teachers.a", Packing())


def test_a_forward_without_positions_is_refused_with_what_it_said():
    model = build_model(build_config("Llama"))
    forward = model.forward
    model.forward = lambda input_ids, attention_mask=None, use_cache=False: forward(
        input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache
    )
    with pytest.raises(ConfigError, match=r"student \(Llama.*position_ids.*Set train\.packing"):
        check_packed_forward(model, "student", Packing())


def test_a_window_is_met_by_the_texts_that_ask_for_it(monkeypatch):
    config = build_config("Gemma 3")
    assert config.sliding_window > max(check_packing.LENGTHS)
    widths = []

    def note_window(model, *_):
        widths.append(model.config.sliding_window)
        return 0.0

    monkeypatch.setattr(check_packing, "measure_row_difference", note_window)
    check_packing.check_packing(config, "student", Packing())
    assert widths == [check_packing.SMALL_WINDOW]
    assert config.sliding_window > max(check_packing.LENGTHS)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_every_attention_of_torch_passes(attention):
    model = build_model(build_config("Qwen 2"))
    model.set_attn_implementation(attention)
    check_packed_forward(model, "student", Packing())


def test_a_model_in_bfloat16_is_told_from_one_that_mixes_texts_up():
    model = build_model(build_config("Qwen 2")).bfloat16().train()
    check_packed_forward(model, "student", Packing())
    assert model.training
    with torch.autocast("cpu", torch.bfloat16):
        check_packed_forward(model.float(), "student", Packing())
    check_packed_forward(build_model(build_config("Qwen 3 MoE")).bfloat16(), "a", Packing())
    for name in ("Falcon", "gpt-oss", "LFM2", "Mamba"):
        mixes_up = build_model(build_config(name)).bfloat16()
        with pytest.raises(ConfigError, match="does not keep texts apart"):
            check_packed_forward(mixes_up, "student", Packing())


def test_every_kind_of_layer_is_asked_and_no_more():
    config = build_config("Llama")
    config.num_hidden_layers = 30
    assert count_layers(config) == check_packing.ALL_KINDS
    config.layer_types = ["full_attention"] * 30
    assert count_layers(config) == 2
    config.layer_types[5] = "sliding_attention"
    assert count_layers(config) == 6


def test_the_same_question_is_asked_once(monkeypatch):
    asked = []
    monkeypatch.setattr(check_packing, "check_packed_forward", lambda *a: asked.append(a))
    for _ in range(2):
        check_packing.check_packing(build_config("Llama"), "student", Packing())
    assert len(asked) == 1
