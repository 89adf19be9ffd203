"""A frozen model whose weights are partitioned over the ranks: DeepSpeed's ZeRO-3, no optimiser.

Each forward gathers one layer's weights after the other, so all ranks must call it equally often.
Imported only for a placement that shards: DeepSpeed takes seconds to import.
"""

import os
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

if not torch.cuda.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed warns that it guesses so

import deepspeed
import deepspeed.ops
from deepspeed.runtime.fp16.loss_scaler import LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from deepspeed.utils.tensor_fragment import fragment_address
from transformers.integrations import HfDeepSpeedConfig

from kvdistill.errors import UserError

if not torch.cuda.is_available():
    # Else the first group on a CPU compiles an extension for minutes; gloo does the same.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False

FORCE_WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
PRECISION_SECTIONS = {torch.bfloat16: "bf16", torch.float16: "fp16"}

SAFE_GLOBALS = (ZeroStageEnum, fragment_address, LossScaler)
"""What an optimiser's state under ZeRO holds apart from tensors and plain values."""


@contextmanager
def force_weights_only(checkpoint: Path) -> Iterator[None]:
    """While this is open, torch unpickles tensors, plain values and SAFE_GLOBALS alone.

    Raises UserError, which names the checkpoint, for anything else; nothing of it is run.
    """
    # DeepSpeed passes weights_only=False to torch.load; this variable overrules the argument.
    before = os.environ.get(FORCE_WEIGHTS_ONLY)
    os.environ[FORCE_WEIGHTS_ONLY] = "1"
    try:
        with torch.serialization.safe_globals(list(SAFE_GLOBALS)):
            yield
    except pickle.UnpicklingError as error:
        match = re.search(r"GLOBAL (\S+)", str(error))
        refused = match[1] if match else "code"
        raise UserError(
            f"{checkpoint} is not read: its state asks for {refused}, and only tensors and plain "
            f"values are unpickled. Delete it to resume from the one before."
        ) from error
    finally:
        os.environ.pop(FORCE_WEIGHTS_ONLY)
        if before is not None:
            os.environ[FORCE_WEIGHTS_ONLY] = before


def build_deepspeed_config(
    dtype: torch.dtype, hidden_size: int, *, offload: bool, ranks_per_node: int | None = None
) -> dict[str, Any]:
    """DeepSpeed's config of a frozen model; `offload` keeps its partitions in the CPU's memory.

    `ranks_per_node`: where there are several nodes, None else. Each then holds parts of all
    weights, so that a forward gathers within it and nothing passes between nodes (hpZ: Wang et al.
    2023, arXiv 2306.10209, section 3.2); frozen weights never change, so these parts stay true.
    """
    # Vectors stay whole: gathering them costs more than it saves. Matrices are partitioned.
    zero: dict[str, Any] = {"stage": 3, "stage3_param_persistence_threshold": 4 * hidden_size}
    if ranks_per_node is not None:
        zero["zero_hpz_partition_size"] = ranks_per_node
    if offload:
        zero["offload_param"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    return {
        "train_micro_batch_size_per_gpu": 1,  # DeepSpeed requires it; nothing is trained
        "zero_optimization": zero,
        **{
            name: {"enabled": dtype == section_dtype}
            for section_dtype, name in PRECISION_SECTIONS.items()
        },
    }


def shard_model(
    load_model: Callable[[], nn.Module], dtype: torch.dtype, hidden_size: int, *, offload: bool
) -> nn.Module:
    """The model that `load_model` gives, partitioned while it loads; every rank must call this.

    A forward gathers the weights that it needs. The DeepSpeed engine lives as long as the model.
    """
    config = build_deepspeed_config(
        dtype, hidden_size, offload=offload, ranks_per_node=count_ranks_per_node()
    )
    with ensure_process_group(), partition_while_loading(config):
        model = load_model().eval().requires_grad_(False)
        engine, *_ = deepspeed.initialize(model=model, config=config)
    engine.eval()
    dtypes = {parameter.dtype for parameter in model.parameters()}
    if dtypes != {dtype}:
        raise AssertionError(f"a teacher of {dtype} became {dtypes} under DeepSpeed")
    # Past nn.Module.__setattr__, which would register the engine as a submodule of the model.
    model.__dict__["engine"] = engine
    return model


def count_ranks_per_node() -> int | None:
    """Ranks of this node where the job has several, equally many on each; None on one node."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    # A node of one rank has nobody to divide with: DeepSpeed takes 1 for none at all.
    return here if 1 < here < ranks and ranks % here == 0 else None


def init_collectives() -> None:
    """Makes DeepSpeed's collectives those of torch's process group."""
    deepspeed.init_distributed(auto_mpi_discovery=False, verbose=False)


@contextmanager
def partition_while_loading(config: dict[str, Any]) -> Iterator[None]:
    """While this is open, from_pretrained partitions what it loads: teachers, never the student."""
    # transformers knows of it by a weak reference, so it ends with this variable.
    alive = HfDeepSpeedConfig(config)
    try:
        yield
    finally:
        del alive


@contextmanager
def ensure_process_group() -> Iterator[None]:
    """Makes DeepSpeed's collectives those of torch's process group.

    A process alone becomes a group of one, with a LOCAL_RANK while this is open.
    """
    alone = "LOCAL_RANK" not in os.environ
    if not dist.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    init_collectives()
    os.environ.setdefault("LOCAL_RANK", "0")  # DeepSpeed reads it
    try:
        yield
    finally:
        if alone:
            del os.environ["LOCAL_RANK"]  # accelerate would take it for one rank of several
