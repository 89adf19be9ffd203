"""TRL's SFTTrainer and transformers' Trainer on the student, texts and settings of a case.

They train the same weights on the same batches, padded to their longest text, by the same optimiser
at the same rate, in bfloat16 over float32 weights and with activations recomputed, as the platform
does.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from kvdistill.train import inputs
from kvdistill.train.run import make_sampler
from tests.bench.gpu.cases import Case
from tests.bench.gpu.drawn_weights import use_drawn_weights
from tests.bench.gpu.ours import LastStep, StepClock, count_work
from tests.bench.gpu.workload import Size, build_split, compose_case

IGNORED = -100


def measure_peer(root: Path, size: Size, case: Case) -> dict[str, Any]:
    """Seconds and memory of a step of fine-tuning."""
    from datasets import Dataset
    from torch.utils.data import SequentialSampler

    config = compose_case(root, size, case.texts, case.overrides)
    needs = {"split": build_split(root, config)}
    kind, make_arguments, more = choose_trainer(case.peer)

    class InOrder(kind):  # type: ignore[misc, valid-type]
        def _get_train_sampler(self, *_: Any) -> Any:
            return SequentialSampler(self.train_dataset)

    clock = StepClock(size)
    with use_drawn_weights(root):
        work = count_work(config, needs, size)
        texts, collate = inputs.read_texts(config, needs, "train_student", None)
        rows = [
            list_columns(texts[row].student) for row in make_sampler(config, texts, size.last_step)
        ]
        tokenizer = inputs.load_tokeniser(config["student"], "student", needs).tokenizer
        trainer = InOrder(
            model=inputs.load_student(config, needs).train(),
            args=make_arguments(**list_arguments(config, size, root), **more),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            data_collator=lambda some: pad_rows(some, collate.student_pad_id),
            callbacks=[make_callback(clock)],
        )
        with suppress(LastStep):
            trainer.train()
    return {
        "step_s": clock.step_s,
        "steps_s": [b - a for a, b in zip(clock.ends, clock.ends[1:], strict=False)],
        **asdict(work),
        "peak_bytes": clock.peak_bytes or None,
    }


def choose_trainer(peer: str | None) -> tuple[type, Any, dict[str, Any]]:
    """(trainer, its arguments' class, what it needs beside the others')."""
    if peer == "trl":
        from trl import SFTConfig, SFTTrainer

        return SFTTrainer, SFTConfig, {"dataset_kwargs": {"skip_prepare_dataset": True}}
    from transformers import Trainer, TrainingArguments

    return Trainer, TrainingArguments, {}


def list_arguments(config: dict[str, Any], size: Size, root: Path) -> dict[str, Any]:
    """The training of the config in the words of transformers."""
    train, budget = config["train"], config["budget"]
    return {
        "output_dir": str(root / "peer"),
        "max_steps": size.last_step,
        "per_device_train_batch_size": budget["batch_size"],
        "learning_rate": train["lr"],
        "weight_decay": train["weight_decay"],
        "lr_scheduler_type": train["lr_scheduler_type"],
        "max_grad_norm": train["max_grad_norm"],
        "bf16": train["bf16"],
        "gradient_checkpointing": train["gradient_checkpointing"],
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "logging_steps": train["logging_steps"],
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available(),
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
    }


def list_columns(text: Any) -> dict[str, list[int]]:
    """A text as transformers' trainers read it: prompts have no loss."""
    ids = text.ids.tolist()
    labels = [i if scored else IGNORED for i, scored in zip(ids, text.answer, strict=True)]
    return {"input_ids": ids, "labels": labels}


def pad_rows(rows: Sequence[dict[str, list[int]]], pad: int) -> dict[str, torch.Tensor]:
    """A batch, padded on the right to its longest text."""
    longest = max(len(row["input_ids"]) for row in rows)

    def stack(name: str, filler: int) -> torch.Tensor:
        return torch.tensor([r[name] + [filler] * (longest - len(r[name])) for r in rows])

    ids = stack("input_ids", pad)
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    mask = torch.arange(longest) < lengths[:, None]
    return {"input_ids": ids, "attention_mask": mask.long(), "labels": stack("labels", IGNORED)}


def make_callback(clock: StepClock) -> Any:
    """A callback of transformers' that tells the clock of each step."""
    from transformers import TrainerCallback

    class Ticks(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.note_step(state.global_step)

    return Ticks()
