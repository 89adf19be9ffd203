"""One contestant of tests.bench.peers, alone in its process.

    python -m tests.bench.contestants NAME FOLDER

FOLDER is a setting that peers has laid out: setting.json, the student's and the teacher's weights,
the batches in the order in which all read them. The last line is one JSON object: wall and
processor seconds of each step (from the end of the step before), and the process's peak memory.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

IGNORED = -100
OURS: dict[str, dict[str, Any]] = {
    "ours_sft": {"overrides": ["arm=sft"]},
    "ours_kv": {"overrides": ["arm=single_teacher"], "teachers": 1},
    "ours_kv_2": {"overrides": ["arm=multi_teacher"], "teachers": 2},
    "ours_kv_3": {"overrides": ["arm=multi_teacher"], "teachers": 3},
    "ours_logits": {"overrides": ["arm=logit_kd"], "teachers": 1},
    "ours_stored": {"overrides": ["arm=single_teacher", "source=store"], "teachers": 1},
}


class Setting:
    """What all contestants train, read from where peers wrote it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        given = json.loads((folder / "setting.json").read_text(encoding="utf-8"))
        self.steps: int = given["steps"]
        self.lr: float = given["lr"]
        self.weight_decay: float = given["weight_decay"]
        self.batch_size: int = given["batch_size"]
        self.overrides: list[str] = given["overrides"]
        self.teacher_overrides: list[str] = given["teacher_overrides"]
        self.root = Path(given["root"])
        self.student_path, self.teacher_path = given["student"], given["teacher"]
        self.ends: list[tuple[float, float]] = []

    def batches(self) -> Iterator[dict[str, torch.Tensor]]:
        """input_ids, attention_mask and labels of each step; prompts and padding are ignored."""
        for batch in torch.load(self.folder / "batches.pt")[: self.steps]:
            ids, mask = batch["ids"], batch["mask"]
            labels = ids.masked_fill(~(mask & batch["answer"]), IGNORED)
            yield {"input_ids": ids, "attention_mask": mask.long(), "labels": labels}

    def texts(self) -> list[dict[str, torch.Tensor]]:
        """The same, text by text."""
        return [
            {name: rows[i] for name, rows in batch.items()}
            for batch in self.batches()
            for i in range(self.batch_size)
        ]

    def student(self) -> Any:
        """In training mode, with its head."""
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(self.student_path, dtype=torch.float32)
        return model.train()

    def teacher(self, *, head: bool) -> Any:
        """Frozen."""
        from transformers import AutoModel, AutoModelForCausalLM

        kind = AutoModelForCausalLM if head else AutoModel
        model = kind.from_pretrained(self.teacher_path, dtype=torch.float32)
        return model.eval().requires_grad_(False)

    def tick(self) -> None:
        """A step has ended."""
        self.ends.append((time.perf_counter(), time.process_time()))


def loop(setting: Setting, teachers: int) -> None:
    """Student forward and backward, the teacher's body, AdamW: nothing else."""
    student = setting.student()
    body = setting.teacher(head=False) if teachers else None
    optimizer = torch.optim.AdamW(
        student.parameters(), lr=setting.lr, weight_decay=setting.weight_decay
    )
    for batch in setting.batches():
        read = {name: batch[name] for name in ("input_ids", "attention_mask")}
        logits = student(**read, use_cache=False).logits
        F.cross_entropy(
            logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=IGNORED
        ).backward()
        for _ in range(teachers):
            with torch.no_grad():
                body(**read, use_cache=False)
        optimizer.step()
        optimizer.zero_grad()
        setting.tick()


def arguments(setting: Setting, kind: type, **more: Any) -> Any:
    """The same training in the words of transformers; what TRL turns on is turned off."""
    return kind(
        output_dir=str(setting.folder / "out"),
        max_steps=setting.steps,
        per_device_train_batch_size=setting.batch_size,
        learning_rate=setting.lr,
        weight_decay=setting.weight_decay,
        max_grad_norm=1.0,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        **more,
    )


def library(setting: Setting, kind: type, args: Any, **more: Any) -> None:
    """Trains with a trainer of transformers or TRL, the texts in order."""
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from transformers import AutoTokenizer

    class InOrder(kind):  # type: ignore[misc]
        def _get_train_sampler(self, *_: Any) -> Any:
            return SequentialSampler(self.train_dataset)

    rows = [{name: x.tolist() for name, x in text.items()} for text in setting.texts()]
    # Texts of one batch are padded alike: nothing is left to do but to stack them.
    trainer = InOrder(
        model=setting.student(),
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(setting.student_path),
        callbacks=[ticks(setting)],
        **more,
    )
    trainer.train()


def stack(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """A batch of texts that are padded already."""
    return {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}


def ticks(setting: Setting) -> Any:
    """A callback of transformers' that tells the clock of each step."""
    from transformers import TrainerCallback

    class Ticks(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            setting.tick()

    return Ticks()


def trainer(setting: Setting) -> None:
    """The plain Trainer of transformers."""
    from transformers import Trainer, TrainingArguments

    library(setting, Trainer, arguments(setting, TrainingArguments), data_collator=stack)


def trl_sft(setting: Setting) -> None:
    """TRL's SFTTrainer."""
    from trl import SFTConfig, SFTTrainer

    args = arguments(setting, SFTConfig, dataset_kwargs={"skip_prepare_dataset": True})
    library(setting, SFTTrainer, args, data_collator=stack)


def trl_gkd(setting: Setting) -> None:
    """TRL's GKD on fixed texts: lmbda=0 generates nothing."""
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    args = arguments(setting, GKDConfig, lmbda=0.0)
    more = {"teacher_model": setting.teacher(head=True), "data_collator": stack}
    library(setting, GKDTrainer, args, **more)


def trl_distillation(setting: Setting) -> None:
    """TRL's DistillationTrainer, given fixed texts where it would generate them."""
    from trl import DistillationConfig, DistillationTrainer

    class Fixed(DistillationTrainer):  # type: ignore[misc]
        def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
            batch = stack([{k: row[k] for k in ("input_ids", "attention_mask", "labels")}
                           for row in inputs])  # fmt: skip
            ids, mask, labels = batch["input_ids"], batch["attention_mask"], batch["labels"]
            answer = (labels != IGNORED).long()[:, 1:]  # its completion begins at the second token
            return {
                "prompt_ids": ids[:, :1],
                "prompt_mask": mask[:, :1],
                "completion_ids": ids[:, 1:],
                "completion_mask": mask[:, 1:],
                "tool_mask": answer,
                "num_items_in_batch": answer.sum(),
            }

    args = arguments(setting, DistillationConfig, shuffle_dataset=False)
    library(setting, Fixed, args, teacher_model=setting.teacher(head=True))


def ours(setting: Setting, overrides: list[str], teachers: int | None = None) -> None:
    """Our own trainer."""
    from tests.bench.arms import Arm, compose_config

    given = [*setting.overrides, *(setting.teacher_overrides if teachers else ()), *overrides]
    arm = Arm(setting.root, compose_config(*given, teachers=teachers))
    arm.trainer.args.max_steps = setting.steps
    arm.trainer.add_callback(ticks(setting))
    seen: list[torch.Tensor] = []
    arm.module.student.register_forward_pre_hook(
        lambda _, __, kwargs: seen.append(kwargs["input_ids"]), with_kwargs=True
    )
    arm.trainer.train()
    for own, batch in zip(seen, setting.batches(), strict=False):
        assert torch.equal(own, batch["input_ids"]), "other texts than the peers'"


def ours_nine(setting: Setting) -> None:
    """Three fusions times three seeds of two teachers, whole: calibration and store included."""
    from kvdistill.train.run import train_student
    from tests.bench.arms import compose_config
    from tests.kv.artifacts import build_artifacts

    tokens = f"budget.total_tokens={setting.steps * setting.batch_size * 64}"
    for fusion in ("fixed", "similarity", "learnable"):
        for seed in (42, 43, 44):
            given = [*setting.overrides, *setting.teacher_overrides, tokens, "source=store"]
            config = compose_config(*given, f"fusion={fusion}", f"seed={seed}", teachers=2)
            folder = setting.folder / "nine" / "runs" / f"{fusion}-{seed}"
            folder.mkdir(parents=True)
            train_student(config, build_artifacts(setting.root, config), folder, lambda *_: None)


CONTESTANTS: dict[str, Callable[[Setting], None]] = {
    "limit": partial(loop, teachers=1),
    "limit_2": partial(loop, teachers=2),
    "limit_3": partial(loop, teachers=3),
    "loop_sft": partial(loop, teachers=0),
    "trainer": trainer,
    "trl_sft": trl_sft,
    "trl_gkd": trl_gkd,
    "trl_distillation": trl_distillation,
    **{name: partial(ours, **given) for name, given in OURS.items()},
}


def import_for(name: str) -> None:
    """The libraries of a contestant, before the clock of the whole starts."""
    if name.startswith("ours"):
        import kvdistill.jobs.preload  # noqa: F401 - as a job of its own has it
    elif name.startswith("trl"):
        import trl  # noqa: F401
        from trl.experimental import gkd  # noqa: F401
    from transformers import AutoModelForCausalLM, Trainer  # noqa: F401


def main(name: str, folder: Path) -> None:
    """Trains and says what it took."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(0)
    setting = Setting(folder)
    import_for(name)
    began = time.perf_counter(), time.process_time()
    if name == "ours_nine":
        ours_nine(setting)
    else:
        CONTESTANTS[name](setting)
        assert len(setting.ends) == setting.steps, f"{len(setting.ends)} steps"
    whole = time.perf_counter() - began[0], time.process_time() - began[1]
    pairs = list(zip(setting.ends, setting.ends[1:], strict=False))
    print(
        json.dumps(
            {
                "wall_s": [after[0] - before[0] for before, after in pairs],
                "cpu_s": [after[1] - before[1] for before, after in pairs],
                "whole_wall_s": whole[0],
                "whole_cpu_s": whole[1],
                "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
