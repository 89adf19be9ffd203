"""transformers' Trainer over the distiller: the library brings loop, checkpoints and devices.

The loss of an optimiser step is a mean over its answer tokens (cross-entropy) and a mean over its
samples (KV), whatever the number of micro-batches and ranks it is divided into.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedDataParallelKwargs, DistributedType
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.utils.data import Dataset, Sampler
from transformers import Trainer, TrainerCallback, TrainingArguments

from kvdistill import distributed, preemption
from kvdistill.errors import DivergedError
from kvdistill.fusion.routing import Routing
from kvdistill.loss.gradient_norm import measure_gradient_norm
from kvdistill.models.attention.implementation import use_plain_attention
from kvdistill.preemption import Preempted
from kvdistill.train import checkpoint, nonfinite
from kvdistill.train.answers.task_scores import score_tasks
from kvdistill.train.checkpoint import parse_step as checkpoint_step
from kvdistill.train.curves import CurveWriter, describe_logit_terms
from kvdistill.train.module import Distiller
from kvdistill.train.on_policy.own_texts import OwnTexts
from kvdistill.train.preemption_callback import PreemptionCallback, end_if_preempted
from kvdistill.train.step import Terms
from kvdistill.train.training_arguments import make_autocast
from kvdistill.train.validation import TextLosses, Validation
from kvdistill.types import Batch

log = logging.getLogger(__name__)


class DistillTrainer(Trainer):
    """Trains a Distiller on a fixed sequence of texts, for a fixed number of steps."""

    loss_is_scaled_for_ga = True  # compute_loss divides by the whole step's tokens and samples

    def __init__(
        self,
        module: Distiller,
        args: TrainingArguments,
        *,
        texts: Dataset[Any],
        sampler: Sampler[int],
        collate: Callable[[Sequence[Any]], Batch],
        validation: Validation,
        curves: CurveWriter,
        progress: Callable[[int, int], None],
        needs: Mapping[str, Path],
        norms_every: int,
        own_texts: OwnTexts | None = None,
    ) -> None:
        """Reads `texts` in the order of `sampler`, in batches that `collate` makes.

        `progress` is called with (step, steps) after each step. `needs` (role -> folder) are the
        artefacts that a checkpoint is bound to. `norms_every`: steps between measurements of each
        term's gradient norm; 0 for none. `own_texts` writes what teachers are compared with on in
        some steps; None: in none.
        """
        super().__init__(
            model=module,
            args=args,
            train_dataset=texts,
            eval_dataset=texts,  # Trainer asks for one; `evaluate` reads the validation batches
            # The loader collates a micro-batch before the one ahead of it is computed, so that what
            # is stored of it is read meanwhile.
            data_collator=lambda rows: {"batch": module.prefetch_teachers(collate(rows))},
            callbacks=[_ProgressCallback(module, progress), PreemptionCallback()],
        )
        self.module = module
        """The distiller itself, under DDP's or DeepSpeed's wrapper."""
        self.clock = module.clock
        self.sampler, self.validation, self.curves = sampler, validation, curves
        self.needs, self.norms_every = needs, norms_every
        self.own_texts = own_texts
        self.last_norm_step = -1
        self.first_step = 0
        """Of the checkpoint that training goes on from."""
        self.row_ids: list[str] = []
        """Ids of the texts of the current step on this rank, over its micro-batches."""
        self.routing: Routing | None = None
        """Fusion weights of the last validation."""
        self.text_losses: TextLosses | None = None
        """Losses of each text at the last validation."""

    def fit(self, resume_from: Path | None) -> None:
        """Trains to the last step, from a checkpoint (None: from the beginning)."""
        self.curves.set_clock(running=True)
        self.first_step = (checkpoint_step(resume_from) or 0) if resume_from else 0
        self.score_tasks()
        with self.restrict_unpickling(resume_from):
            self.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        self.curves.set_clock(running=False)
        if self.text_losses is None and not preemption.is_requested():
            # Resumed after the last validation, so none was made here.
            _, self.routing, self.text_losses = self.validate()

    def score_tasks(self) -> None:
        """Scores the teachers on the validation texts, where the fusion weighs them by task."""
        module = self.module
        if module.objective is not None:
            batches = module.prefetch_each(self.validation.batches)
            fusion = module.objective.fusion
            score_tasks(fusion, module.read_teachers, batches, self.args.device)

    def restrict_unpickling(self, checkpoint: Path | None) -> AbstractContextManager[None]:
        """While this is open DeepSpeed reads tensors alone; otherwise it would unpickle anything.

        transformers reads its own checkpoints so already.
        """
        if checkpoint is None or not self.is_deepspeed_enabled:
            return nullcontext()
        from kvdistill.models.zero3 import force_weights_only  # DeepSpeed is slow to import

        return force_weights_only(checkpoint)

    def _build_accelerator_args(self, **kwargs: Any) -> dict[str, Any]:
        """The library's, with gradients in DDP's own buckets: else each would lie there twice."""
        arguments: dict[str, Any] = super()._build_accelerator_args(**kwargs)
        for handler in arguments["kwargs_handlers"]:
            if isinstance(handler, DistributedDataParallelKwargs):
                handler.gradient_as_bucket_view = True
        return arguments

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Sampler[int]:
        """The run's sampler, instead of the library's shuffling."""
        return self.sampler

    def _get_num_items_in_batch(
        self, batch_samples: list[dict[str, Batch]], device: torch.device
    ) -> Tensor:
        """Answer tokens of the whole optimiser step, over micro-batches and ranks."""
        self.row_ids = [row for item in batch_samples for row in item["batch"].ids]
        count = sum(item["batch"].student.label_mask.sum() for item in batch_samples)
        return self.accelerator.gather(torch.as_tensor(count, device=device)).sum()

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW; biases and norms do not decay, strategies have a learning rate of their own."""
        if self.optimizer is None:
            groups = self.module.make_param_groups(self.args.learning_rate, self.args.weight_decay)
            betas = (self.args.adam_beta1, self.args.adam_beta2)
            self.optimizer = torch.optim.AdamW(
                groups, lr=self.args.learning_rate, betas=betas, fused=True
            )
            # DeepSpeed steps within `training_step`.
            self.optimizer.register_step_pre_hook(lambda *_: self.clock.switch_to("optimizer"))
        return self.optimizer

    def get_batch_samples(self, *arguments: Any, **named: Any) -> Any:
        """The micro-batches of the next step, as the library collects them."""
        with self.clock.time_part("data"):
            return super().get_batch_samples(*arguments, **named)

    def training_step(self, *arguments: Any, **named: Any) -> Tensor:
        """Forward and backward of a micro-batch; what follows is clipping and the step."""
        self.clock.switch_to("student")
        loss: Tensor = super().training_step(*arguments, **named)
        self.clock.switch_to("optimizer")
        return loss

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """This micro-batch's share of the step's loss."""
        batch: Batch = inputs["batch"]
        own = self.write_own_texts(batch)
        ce_sum, terms, distributions = model(batch) if own is None else model(batch, own)
        # DDP averages gradients over ranks, while the token count is the sum over them.
        ce = ce_sum / num_items_in_batch * self.args.world_size
        logits, token_share = None, self.args.world_size / num_items_in_batch
        compared = batch if own is None else own
        if own is not None:
            # How many tokens the step's other micro-batches will write is not known yet.
            count = own.student.label_mask.sum().clamp(min=1)
            token_share = 1 / (count * self.current_gradient_accumulation_steps)
        if distributions is not None:
            logits = distributions.total * token_share
        self.log_gradient_norms(ce, terms, logits)
        micro_batches = self.current_gradient_accumulation_steps
        loss, weighted_kv = self.combine_terms(ce, terms, micro_batches)
        numbers = {}
        if distributions is not None and logits is not None:
            loss = loss + self.module.current_weights.logits * logits
            numbers = describe_logit_terms(distributions, token_share, list(batch.teachers))
        if not torch.isfinite(loss):
            self.raise_nonfinite(
                f"the loss is {loss.item()}", nonfinite.find_cause(self.module, compared), batch.ids
            )
        batch = replace(batch, teachers=compared.teachers)
        self.curves.add_batch(loss, ce, weighted_kv, terms, batch, micro_batches, numbers)
        return loss

    def write_own_texts(self, batch: Batch) -> Batch | None:
        """The student's own answers to this micro-batch's questions; None where none are due."""
        step = self.state.global_step
        if self.own_texts is None or not self.own_texts.is_due(step):
            return None
        student, training = self.module.student, self.module.training
        student.eval()
        # A cache that grows token by token is not what packed kernels are for.
        with make_autocast(self.args), use_plain_attention(student):
            own = self.own_texts.write_batch(self.module.unwrap_student(), batch, step)
        student.train(training)
        self.curves.add_numbers(**own.describe())
        self.curves.count_own(own.batch.student, own.written)
        return own.batch

    def log_gradient_norms(
        self, ce: Tensor, terms: Terms | None, logits: Tensor | None = None
    ) -> None:
        """Notes the norm of each unweighted term's gradient on k_proj and v_proj, where it is due.

        Of the step's first micro-batch alone, since it takes one more backward pass a term.
        """
        step, parameters = self.state.global_step, self.module.list_kv_parameters()
        due = self.norms_every and step % self.norms_every == 0 and step != self.last_norm_step
        if not (due and parameters):
            return
        self.last_norm_step = step
        # Means over tokens are this micro-batch's share already: scaled back, as if the whole step
        # were like it.
        unweighted = {"ce": ce * self.current_gradient_accumulation_steps}
        if terms is not None:
            unweighted["kv"] = terms.kv
        if logits is not None:
            unweighted["logits"] = logits * self.current_gradient_accumulation_steps
        norms = distributed.all_reduce_mean(
            torch.stack([measure_gradient_norm(term, parameters) for term in unweighted.values()])
        )
        named = zip(unweighted, norms, strict=True)
        self.curves.add_numbers(**{f"grad_norm_{term}": float(value) for term, value in named})

    def raise_nonfinite(
        self, what: str, where: str, rows: list[str], step: int | None = None
    ) -> None:
        """Raises DivergedError for NaN or infinity, which are never averaged away.

        `where` is its origin, `rows` the ids to name; `step` is the current one if not given.
        """
        step = step or self.state.global_step + 1
        log.error("rows of the step: %s", ", ".join(rows))
        raise DivergedError(
            f"{what} at step {step}, first in the {where} ({nonfinite.format_row_ids(rows)}). "
            f"Lower train.lr or look at these rows; the last checkpoint is kept."
        )

    def _clip_grad_norm(self, model: torch.nn.Module) -> Tensor | float:
        """Clips the gradient. Raises DivergedError if it is not finite: clipping would hide it."""
        if self.accelerator.distributed_type == DistributedType.DEEPSPEED:
            # DeepSpeed's engine clips in its own step, and says the norm as a number.
            engine_norm: float = super()._clip_grad_norm(model)
            self.check_gradient(model, engine_norm)
            return engine_norm
        norm: Tensor = self._get_grad_norm(model)
        if norm > self.args.max_grad_norm:  # else it would multiply every gradient by 1
            clip_grads_with_norm_(model.parameters(), self.args.max_grad_norm, norm)
        return norm

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        """The gradient's norm before clipping; asked for where nothing is clipped, too."""
        if grad_norm is None:
            grads = [p.grad for p in model.parameters() if p.grad is not None]
            # Read once: it is compared, checked and logged, and each would wait for a GPU.
            grad_norm = get_total_norm(grads).cpu()
            self.check_gradient(model, grad_norm)
        return grad_norm

    def check_gradient(self, model: torch.nn.Module, norm: Any) -> None:
        """Raises DivergedError for a norm that is not finite, before the step is taken."""
        if not math.isfinite(norm):
            self.raise_nonfinite(
                f"the gradient's norm is {float(norm)}",
                nonfinite.find_gradient(model),
                self.row_ids,
            )

    def combine_terms(
        self, ce: Tensor, terms: Terms | None, micro_batches: int
    ) -> tuple[Tensor, Tensor]:
        """(the weighted sum of these terms, what the distance of K and V adds to it).

        `ce` is a share of the step already; the KV terms are means over this micro-batch, and so
        are divided by the number of micro-batches.
        """
        module, weights = self.module, self.module.current_weights
        loss = weights.ce * ce
        if terms is None or module.objective is None:
            return loss, torch.zeros_like(ce)
        kv = terms.kv / micro_batches
        parameters = module.list_kv_parameters()
        factor = module.objective.balance(ce, kv, parameters, self.state.global_step)
        weighted_kv = weights.kv * factor * kv
        rest = terms.penalty - weights.entropy * terms.entropy
        return loss + weighted_kv + rest / micro_batches, weighted_kv.detach()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Also writes the training line of the curves, whose terms go to the trackers too."""
        if "loss" in logs:
            extra = {"grad_norm": logs["grad_norm"], "lr": logs["learning_rate"]}
            logs |= self.curves.write_training_line(self.state.global_step, extra)
        super().log(logs, start_time)

    def validate(self) -> tuple[dict[str, Any], Routing | None, TextLosses]:
        """What `Validation` returns, in the training's arithmetic; every rank must call this."""
        autocast = partial(make_autocast, self.args)
        return self.validation(self.module.eval(), self.args.device, autocast)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Makes the step's validation, if it is due and not made; every rank must call this.

        Who is asked to make room does not wait for it: the step is saved without, and what goes on
        from there begins with it.
        """
        if not self.owes_validation():
            return {}
        training = self.module.training
        self.curves.set_clock(running=False)
        try:
            self.write_validation(self.state.global_step)
        except Preempted:
            if self.state.global_step == self.first_step:
                raise  # nothing was trained since the last checkpoint
            self.control.should_save = self.control.should_training_stop = True
        finally:
            self.module.train(training)
            self.curves.set_clock(running=True)
        return {}

    def owes_validation(self) -> bool:
        """Whether an uninterrupted run validates after this step, and this one has not.

        The library asks at more steps than that: after the last one twice, and after a resume.
        """
        step = self.state.global_step
        due = step % self.state.eval_steps == 0 or step == self.state.max_steps
        history = self.state.log_history
        return due and not any("eval_loss" in line and line["step"] == step for line in history)

    def write_validation(self, step: int) -> None:
        """Writes the curves' validation line, with the tasks' scores where they are due.

        Rank 0 alone scores tasks. Raises Preempted, on every rank, instead of going on.
        """
        numbers, routing, text_losses = self.validate()
        if not math.isfinite(numbers["loss"]):
            raise DivergedError(f"the validation loss is {numbers['loss']} after step {step}.")
        last, number = step == self.state.max_steps, step // self.state.eval_steps
        scores: Mapping[str, Mapping[str, float]] = {}
        if distributed.is_rank_zero():
            with suppress(Preempted):  # which all ranks hear of now
                scores = self.validation.score_tasks(self.module, number, last)
        end_if_preempted()
        self.routing, self.text_losses = routing, text_losses
        self.curves.write_line({"step": step, "split": "val", **numbers, **scores.get("val", {})})
        if "train" in scores:
            self.curves.write_line({"step": step, "split": "train", **scores["train"]})
        logged = {**numbers, **scores.get("val", {})}
        super().log({f"eval_{k}": v for k, v in logged.items() if isinstance(v, float)})

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Writes the library's checkpoint and the curves', then checksums; only then rotates."""
        if where := nonfinite.find_weight(self.module):
            step = self.state.global_step
            self.raise_nonfinite("the weights are not finite", where, self.row_ids, step)
        folder = Path(str(self.args.output_dir)) / f"{checkpoint.PREFIX}{self.state.global_step}"
        if self.args.should_save:
            checkpoint.remove_checkpoint(folder)  # left by a process that was killed here
        self.accelerator.wait_for_everyone()
        with checkpoint.clean_up_failed_write(folder):
            super()._save_checkpoint(model, trial)
            self.curves.save_state(folder)
            # Rank 0 hashes what every rank has written.
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                checkpoint.write_checksums(folder, self.needs)
        if self.args.should_save:
            checkpoint.rotate_checkpoints(folder.parent)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """The module's weights, student and strategies, as safetensors."""
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint.save_weights(self.module, folder, copied=self.is_deepspeed_enabled)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Loads what `_save` wrote."""
        checkpoint.load_weights(self.module, Path(resume_from_checkpoint))


class _ProgressCallback(TrainerCallback):
    """Reports progress to the module, whose fusion may depend on it, and to the caller."""

    def __init__(self, module: Distiller, progress: Callable[[int, int], None]) -> None:
        self.module, self.progress = module, progress

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After a resume, as the last step left it: a validation before the next step reads it."""
        self.module.progress = max(state.global_step - 1, 0) / state.max_steps

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Sets the share of the steps that is done, which `staged` fusion reads."""
        self.module.progress = state.global_step / state.max_steps

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Reports (step, steps)."""
        self.module.clock.switch_to("other")
        self.progress(state.global_step, state.max_steps)
