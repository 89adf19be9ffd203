"""transformers' Trainer over the distiller: the library brings loop, checkpoints and devices.

The loss of an optimiser step is a mean over its answer tokens (cross-entropy) and a mean over its
samples (KV), whatever the number of micro-batches and ranks it is divided into.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from transformers import Trainer, TrainerCallback, TrainingArguments

from kvdistill.errors import UserError
from kvdistill.fusion.routing import Routing
from kvdistill.train.curves import Curves, by_layer
from kvdistill.train.interruption import Interruption
from kvdistill.train.module import Distiller
from kvdistill.train.step import Terms, exact
from kvdistill.types import Batch

WEIGHTS = "distiller.safetensors"


class DistillTrainer(Trainer):
    """Trains a Distiller on a fixed stream of texts, at a fixed number of steps."""

    loss_is_scaled_for_ga = True  # compute_loss divides by the whole step's tokens and samples

    def __init__(
        self,
        module: Distiller,
        args: TrainingArguments,
        texts: Dataset[Any],
        stream: Sampler[int],
        collate: Callable[[Sequence[Any]], Batch],
        validation: Sequence[Batch],
        curves: Curves,
        progress: Callable[[int, int], None],
    ) -> None:
        """`validation` are the fixed batches of the val curves."""
        super().__init__(
            model=module,
            args=args,
            train_dataset=texts,
            eval_dataset=texts,  # Trainer asks for one; `evaluate` reads the validation batches
            data_collator=lambda examples: {"batch": collate(examples)},
            callbacks=[_Progress(module, progress), Interruption()],
        )
        self.stream, self.validation, self.curves = stream, validation, curves
        self.validated_at = -1
        self.routing: Routing | None = None
        """Fusion weights of the last validation pass."""

    @property
    def module(self) -> Distiller:
        """The distiller under whatever the library wrapped around it."""
        found: Distiller = self.accelerator.unwrap_model(self.model)
        return found

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Sampler[int]:
        return self.stream

    def _get_num_items_in_batch(
        self, batch_samples: list[dict[str, Batch]], device: torch.device
    ) -> Tensor:
        """Answer tokens of the whole optimiser step, over micro-batches and ranks."""
        count = sum(answers(item["batch"]) for item in batch_samples)
        return self.accelerator.gather(torch.as_tensor(count, device=device)).sum()

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW; biases and norms do not decay, rooms have a rate of their own."""
        if self.optimizer is None:
            groups = self.module.groups(self.args.learning_rate, self.args.weight_decay)
            betas = (self.args.adam_beta1, self.args.adam_beta2)
            self.optimizer = torch.optim.AdamW(groups, lr=self.args.learning_rate, betas=betas)
        return self.optimizer

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """This micro-batch's share of the step's loss."""
        batch: Batch = inputs["batch"]
        ce_sum, terms = model(batch)
        # DDP averages gradients over ranks, while the token count is the sum over them.
        ce = ce_sum / num_items_in_batch * self.args.world_size
        loss, pull = self.weigh(ce, terms, self.current_gradient_accumulation_steps)
        if not torch.isfinite(loss):
            rows = ", ".join(batch.ids[:4])
            raise UserError(
                f"the loss is {loss.item()} at step {self.state.global_step + 1} "
                f"(rows {rows}, ...). Lower train.lr or look at these rows; the last checkpoint "
                f"is kept."
            )
        self.curves.add(loss, ce, pull, terms, batch, self.current_gradient_accumulation_steps)
        return loss

    def weigh(self, ce: Tensor, terms: Terms | None, micro_batches: int) -> tuple[Tensor, Tensor]:
        """The weighted sum of the terms, and what of it is the distance of K and V.

        CE counts as it is, already a share of the step; the rest is divided by micro-batches.
        """
        module, weights = self.module, self.module.weights
        loss = weights.ce * ce
        if terms is None or module.rooms is None:
            return loss, torch.zeros_like(ce)
        kv = terms.kv / micro_batches
        factor = module.rooms.balance(ce, kv, module.mapped(), self.state.global_step)
        pull = weights.kv * factor * kv
        rest = terms.penalty - weights.entropy * terms.entropy
        return loss + pull + rest / micro_batches, pull.detach()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Also writes the training line of the curves."""
        super().log(logs, start_time)
        if "loss" in logs:
            extra = {"grad_norm": logs["grad_norm"], "lr": logs["learning_rate"]}
            self.curves.write_train(self.state.global_step, extra)

    @torch.no_grad()
    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Loss terms on the validation batches; draws no random number, leaves no trace."""
        if self.validated_at == self.state.global_step:
            return {}  # the library asks again after the last step
        self.validated_at = self.state.global_step
        module = self.module
        training = module.training
        module.eval()
        self.curves.write_val(self.state.global_step, self.validated(module))
        module.train(training)
        return {}

    def validated(self, module: Distiller) -> dict[str, Any]:
        """CE a token; KV terms and answers that greedy decoding would write, a sample."""
        sums: dict[str, Any] = {}
        layers = torch.zeros(())
        samples = sum(len(batch.ids) for batch in self.validation)
        routing = module.rooms.routing() if module.rooms else None
        for batch in self.validation:
            ce_sum, terms = module(batch.to(self.args.device))
            found = {"ce": float(ce_sum), "tokens": float(answers(batch))}
            found["exact_match"] = float(exact(module.logits(batch), batch.student).float().mean())
            if terms is not None:
                found |= {name: float(getattr(terms, name).mean()) for name in KV_TERMS}
                assert routing is not None
                routing.add(terms.weights, batch.tasks)
                by_part = torch.stack((terms.keys, terms.values), dim=1).cpu()
                layers = layers + by_part * (len(batch.ids) / samples)
            for name, value in found.items():
                share = 1.0 if name in ("ce", "tokens") else len(batch.ids) / samples
                sums[name] = sums.get(name, 0.0) + value * share
        self.routing = routing
        sums["ce"] /= sums.pop("tokens")
        if module.rooms is not None:
            sums["layers"] = by_layer(module.rooms, layers)
        return sums

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.module, str(folder / WEIGHTS))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_model(self.module, str(Path(resume_from_checkpoint) / WEIGHTS))


KV_TERMS = ("kv", "keys", "values", "entropy")


def answers(batch: Batch) -> Tensor:
    """Number of answer tokens that are predicted from the token before."""
    return (batch.student.answer & batch.student.mask)[:, 1:].sum()


class _Progress(TrainerCallback):
    """Tells the module how far the run is, and the world."""

    def __init__(self, module: Distiller, progress: Callable[[int, int], None]) -> None:
        self.module, self.progress = module, progress

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """`staged` fusion reads the share of the steps done."""
        self.module.progress = state.global_step / state.max_steps

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """One more step is done."""
        self.progress(state.global_step, state.max_steps)


def arguments(config: dict[str, Any], steps: int, folder: Path) -> TrainingArguments:
    """The library's arguments for a run."""
    train, budget = config["train"], config["budget"]
    return TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        max_steps=steps,
        per_device_train_batch_size=budget["batch_size"],
        gradient_accumulation_steps=budget["grad_accum"],
        learning_rate=train["lr"],
        weight_decay=train["weight_decay"],
        warmup_steps=math.ceil(train["warmup_ratio"] * steps),
        lr_scheduler_type=train["lr_scheduler_type"],
        max_grad_norm=train["max_grad_norm"],
        bf16=train["bf16"],
        logging_steps=train["logging_steps"],
        logging_nan_inf_filter=False,  # a NaN is refused, never averaged away
        eval_strategy="steps",
        eval_steps=train["eval_steps"],
        save_strategy="steps",
        save_steps=train["save_steps"],
        save_total_limit=2,
        seed=config["seed"],
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        remove_unused_columns=False,
        label_names=[],
        dataloader_pin_memory=False,
    )
