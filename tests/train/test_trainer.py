"""The trainer on texts of different lengths, so that a mean of means would show."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.train.runs import STEPS, assert_same_weights, copy_weights, read_lines

pytestmark = pytest.mark.integration

Make = Callable[..., Any]
CLIP_NORM = 12.0
"""Above the norm of some steps and below that of others."""


@pytest.mark.parametrize("overrides", [(), ("fusion=learnable", "projection=linear")])
def test_the_same_seed_twice_gives_the_same_bits(trained: Make, overrides: tuple[str, ...]) -> None:
    assert_same_weights(trained(*overrides), trained(*overrides))


def test_another_seed_gives_other_bits(trained: Make) -> None:
    import torch

    one, other = copy_weights(trained(seed=0)), copy_weights(trained(seed=1))
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("teachers", [(), ("a", "b")])
def test_eight_times_one_equals_one_times_eight(trained: Make, teachers: tuple[str, ...]) -> None:
    whole = trained(teachers=teachers, size=8, accumulate=1)
    parts = trained(teachers=teachers, size=1, accumulate=8)
    # Sums in another order, through four AdamW steps at a rate of 0.01.
    assert_same_weights(whole, parts, rtol=1e-3, atol=1e-4)
    lines = [read_lines(one)[0] for one in (whole, parts)]
    assert lines[0]["loss"] == pytest.approx(lines[1]["loss"], rel=1e-5)
    assert lines[0]["ce"] == pytest.approx(lines[1]["ce"], rel=1e-5)


def test_validating_on_the_way_changes_no_bit(trained: Make) -> None:
    with_dropout = ("fusion=learnable", "fusion.teacher_dropout=0.5")
    often, never = trained(*with_dropout, evaluate=1), trained(*with_dropout, evaluate=100)
    assert_same_weights(often, never)
    # One before the first step, then one after each.
    assert sum(line["split"] == "val" for line in read_lines(often)) == STEPS + 1


def test_fine_tuning_and_distilling_read_the_same_texts(trained: Make) -> None:
    def read(**how: Any) -> list[str]:
        trainer = trained(**how)
        return list(trainer.sampler)

    assert read(teachers=()) == read()


def test_kv_weight_zero_is_fine_tuning(trained: Make) -> None:
    plain = trained(teachers=())
    control = trained("loss.kv_weight=0", "loss.entropy_weight=0")
    assert_same_weights(plain, control)


def test_rooms_have_a_rate_of_their_own(distiller: Make) -> None:
    module = distiller("projection=linear", "projection.lr_scale=0.5")
    groups = module.make_param_groups(lr=0.1, weight_decay=0.01)
    assert [group.get("lr") for group in groups] == [None, None, 0.05, 0.05]
    assert sum(len(g["params"]) for g in groups) == len(list(module.parameters()))


def test_measuring_gradients_on_the_way_changes_no_bit(trained: Make) -> None:
    how = ("fusion=learnable", "fusion.teacher_dropout=0.5")
    often, never = trained(*how, norms=1), trained(*how, norms=0)
    assert_same_weights(often, never)
    lines = [line for line in read_lines(often) if "grad_norm" in line]
    assert all(line["grad_norm_ce"] > 0 and line["grad_norm_kv"] > 0 for line in lines)
    assert not any("grad_norm_ce" in line for line in read_lines(never))


def test_a_gradient_norm_is_that_of_the_term_alone(trained: Make) -> None:
    both = trained("loss.kv_weight=0", "loss.entropy_weight=0", "loss.ce_weight=1", norms=1)
    alone = trained("loss.kv_weight=0", "loss.entropy_weight=0", "loss.ce_weight=1", norms=1,
                    size=2, accumulate=2)  # fmt: skip
    norms = [
        next(line["grad_norm_ce"] for line in read_lines(run) if "grad_norm" in line)
        for run in (both, alone)
    ]
    # Of one micro-batch, as if the step were like it: near, and not the same.
    assert norms[0] != norms[1]
    assert 0.3 < norms[0] / norms[1] < 3


def test_lines_tell_every_term_and_every_teachers_weight(trained: Make) -> None:
    lines = read_lines(trained("fusion.weights=[0.25,0.75]", evaluate=2))
    for split in ("train", "val"):
        line = next(one for one in lines if one["split"] == split)
        assert {"loss", "ce", "kv", "k", "v", "entropy", "train_s"} <= set(line)
        # Renormalised where one teacher alone covers a token.
        assert line["weight_a"] + line["weight_b"] == pytest.approx(1, abs=1e-5)
        assert 0.25 <= line["weight_a"] < line["weight_b"]
        terms = 0.5 * line["ce"] + line["kv"] - 0.01 * line["entropy"]
        assert line["loss"] == pytest.approx(terms, rel=1e-5)


@pytest.mark.parametrize("teachers", [(), ("a", "b")])
def test_the_last_validation_is_kept_text_by_text(trained: Make, teachers: tuple[str, ...]) -> None:
    trainer = trained(teachers=teachers, evaluate=2)
    last = [line for line in read_lines(trainer) if line["split"] == "val"][-1]
    losses = trainer.text_losses.to_json()
    assert len(losses["ids"]) == len(set(losses["ids"])) == 3
    assert sum(losses["ce"]) / sum(losses["tokens"]) == pytest.approx(last["ce"], rel=1e-6)
    names = {"kv_nmse", "k_nmse", "v_nmse"}
    assert names & set(losses) == names & set(last) == (names if teachers else set())
    for name in names & set(losses):
        known = [value for value in losses[name] if value is not None]
        assert sum(known) / len(known) == pytest.approx(last[name])
    # Not the trained scale, and no part of what is trained.
    if teachers:
        assert last["kv_nmse"] != pytest.approx(last["kv"], rel=1e-3)


def test_task_metrics_come_at_their_steps_and_change_no_bit(trained: Make) -> None:
    scored_types = []

    def score(student: Any) -> dict[str, dict[str, float]]:
        assert not student.training
        scored_types.append(type(student).__name__)
        return {"val": {"macro": 0.5}, "train": {"macro": 0.75}}

    assert_same_weights(trained(evaluate=2, score=score), trained(evaluate=2))
    assert scored_types == ["Qwen2ForCausalLM"] * 3  # before the first step, after 2 and after 4
    lines = read_lines(trained(evaluate=2, score=score))
    macros = [(one["step"], one["split"], one["macro"]) for one in lines if "macro" in one]
    assert macros[-2:] == [(4, "val", 0.5), (4, "train", 0.75)]


def test_bf16_trains_like_float32_with_float32_weights(trained: Make) -> None:
    import torch

    half, whole = trained(bf16=True), trained()
    assert {p.dtype for p in half.module.parameters()} == {torch.float32}
    losses = [[line["loss"] for line in read_lines(run) if "lr" in line] for run in (half, whole)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.03)  # bf16 has 8 bits of mantissa


# PEFT asks by a name that transformers is about to drop.
@pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing.*:FutureWarning")
def test_lora_trains_updates_alone_and_is_merged_away(trained: Make, composed: Make) -> None:
    import torch

    from kvdistill.config.build import build_node
    from kvdistill.train.module import count_parameters
    from tests.train.conftest import STUDENT, make_batch, make_model

    run = trained("adapter=lora", "adapter.rank=2")
    raw = make_model(STUDENT, "qwen2", seed=9)
    assert any(line.get("grad_norm_kv", 0) > 0 for line in read_lines(run))
    # In float64 merging loses nothing that a float32 weight could hold.
    student, tokens = run.module.student.eval().double(), make_batch().student
    before = student(input_ids=tokens.ids, use_cache=False).logits
    kept = {n: p for n, p in student.named_parameters() if "lora_" not in n}
    for (name, p), q in zip(kept.items(), raw.parameters(), strict=True):
        assert torch.equal(p, q.double()), name
    merged = build_node("adapter", composed("adapter=lora", "adapter.rank=2")["adapter"]).merge(
        student
    )
    assert count_parameters(merged) == count_parameters(raw)
    assert type(merged) is type(raw)
    torch.testing.assert_close(merged(input_ids=tokens.ids, use_cache=False).logits, before)
    assert not torch.equal(merged.model.layers[0].self_attn.k_proj.weight,
                           raw.model.layers[0].self_attn.k_proj.weight.double())  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["adapter.rank=0"], r"adapter\.rank=0"),
        (["adapter.dropout=1"], r"adapter\.dropout must be in \[0, 1\)"),
    ],
)
def test_lora_refuses_what_cannot_teach(composed: Make, overrides: list[str], says: str) -> None:
    from kvdistill.config.build import build_node
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=says):
        build_node("adapter", composed("adapter=lora", *overrides)["adapter"])


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_fine_tuning_is_clipped_as_a_plain_trainer_clips_it(
    trained: Make, tmp_path: Path, weight: float
) -> None:
    """The same curve and weights as transformers' own Trainer at the same bound."""
    import torch
    from transformers import Trainer, TrainingArguments

    from tests.train.conftest import STUDENT, make_model
    from tests.train.runs import Rows, make_collator

    ours = trained(f"loss.ce_weight={weight}", teachers=(), max_grad_norm=CLIP_NORM)
    collate = make_collator(())

    class Plain(Trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            return list(ours.sampler)

    def make_inputs(rows: list[int]) -> dict[str, Any]:
        tokens = collate(rows).student
        labels = tokens.ids.masked_fill(~tokens.answer, -100)
        return {"input_ids": tokens.ids, "attention_mask": tokens.mask.long(), "labels": labels}

    arguments = TrainingArguments(
        output_dir=str(tmp_path / "plain"), max_steps=STEPS, per_device_train_batch_size=4,
        learning_rate=0.01, weight_decay=0.01, warmup_steps=1, lr_scheduler_type="cosine",
        max_grad_norm=CLIP_NORM, logging_steps=1, save_strategy="no", report_to="none",
        disable_tqdm=True, use_cpu=True, remove_unused_columns=False, dataloader_pin_memory=False,
    )  # fmt: skip
    plain = Plain(
        make_model(STUDENT, "qwen2", seed=9), arguments, train_dataset=Rows(),
        data_collator=make_inputs,
    )  # fmt: skip
    plain.train()
    theirs = [line for line in plain.state.log_history if "grad_norm" in line]
    norms = [line["grad_norm"] for line in theirs]
    assert min(norms) < CLIP_NORM < max(norms), norms  # else AdamW would hide the bound
    lines = [line for line in read_lines(ours) if "lr" in line]
    assert [line["ce"] for line in lines] == pytest.approx([x["loss"] for x in theirs], abs=1e-4)
    own = [line["grad_norm"] for line in lines]
    assert own == pytest.approx([weight * norm for norm in norms], rel=1e-3)
    for (name, value), other in zip(
        ours.module.student.named_parameters(), plain.model.parameters(), strict=True
    ):
        torch.testing.assert_close(value, other, rtol=1e-3, atol=1e-4, msg=name)


def test_gradients_lie_once_in_ddps_buckets(trained: Make) -> None:
    assert trained().accelerator.ddp_handler.gradient_as_bucket_view
