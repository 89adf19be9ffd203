"""The TrainingArguments of a run."""

import math
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from kvdistill import layout
from kvdistill.config.clip_norm import scale_clip_norm
from kvdistill.config.compose import Config
from kvdistill.train.tracking.environment import (
    check_tracker_package,
    set_tracker_environment,
)


def make_training_arguments(config: Config, steps: int, folder: Path) -> TrainingArguments:
    """TrainingArguments of a run in `folder`; also sets the tracker's environment variables."""
    train, budget = config["train"], config["budget"]
    tracker = train["report_to"]
    check_tracker_package(tracker)
    study = folder.resolve().parents[1].name
    if tracker != "none":
        set_tracker_environment(tracker, folder)
    return TrainingArguments(
        output_dir=str(folder / layout.CHECKPOINTS),
        max_steps=steps,
        per_device_train_batch_size=budget["batch_size"],
        gradient_accumulation_steps=budget["grad_accum"],
        learning_rate=train["lr"],
        weight_decay=train["weight_decay"],
        warmup_steps=math.ceil(train["warmup_ratio"] * steps),
        lr_scheduler_type=train["lr_scheduler_type"],
        max_grad_norm=scale_clip_norm(
            train["max_grad_norm"],
            config["loss"],
            # A plan that was frozen before there were distributions has none.
            (config.get("logits") or {}).get("weight", 0.0),
        ),
        bf16=train["bf16"] and train["deepspeed"] is None,
        deepspeed=make_student_deepspeed_config(train),
        logging_steps=train["logging_steps"],
        logging_nan_inf_filter=False,  # a NaN is refused, never averaged away
        eval_strategy="steps",
        eval_steps=train["eval_steps"],
        eval_on_start=True,  # a line of the untrained student, to compare with
        save_strategy="steps",
        save_steps=train["save_steps"],
        save_total_limit=None,  # rotated here, and only once a checkpoint has its checksums
        seed=config["seed"],
        report_to=tracker,
        run_name=folder.name,
        project=f"kvdistill-{study}",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        remove_unused_columns=False,
        label_names=[],
        dataloader_pin_memory=False,
    )


def make_autocast(args: TrainingArguments) -> torch.autocast:
    """The arithmetic of the training's forward pass, for one that Trainer does not call.

    accelerate and DeepSpeed wrap the forward of what they train, and nothing else; the trainer's
    own `autocast_smart_context_manager` is empty.
    """
    deepspeed: Any = args.deepspeed  # as `make_student_deepspeed_config` gave it
    half = args.bf16 or (deepspeed is not None and deepspeed["torch_autocast"]["enabled"])
    return torch.autocast(args.device.type, dtype=torch.bfloat16, enabled=half)


def make_student_deepspeed_config(train: dict[str, Any]) -> dict[str, Any] | None:
    """DeepSpeed's config of the student, from the `train` group; None for DDP.

    Mixed precision stays autocast over float32 weights, as without DeepSpeed: its own bf16 mode
    would train rounded weights, and another model would come of it.
    """
    if train["deepspeed"] is None:
        return None
    from kvdistill.models import zero3  # DeepSpeed is slow to import

    zero3.init_collectives()
    return {
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "torch_autocast": {"enabled": train["bf16"], "dtype": "bfloat16"},
        **train["deepspeed"],
    }
