"""What a job's process finds in its environment, alike on this machine and on a cluster."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SLURM_PREFIXES = (
    "SLURM_", "SLURMD_", "SBATCH_", "SALLOC_", "SRUN_", "SQUEUE_", "SACCT_", "SCANCEL_",
)  # fmt: skip
"""Variables that a shell inside an allocation has of it, and defaults of SLURM's commands."""
ALLOCATOR = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
"""Variables that set PyTorch's allocator; the second is newer and wins."""
TUNABLES = "GLIBC_TUNABLES"
KEEP_PAGES = ":".join((
    "glibc.malloc.hugetlb=1", "glibc.malloc.mmap_threshold=4000000000",
    "glibc.malloc.trim_threshold=8000000000",
))  # fmt: skip
"""Of the C library's allocator: pages of 2 MiB, and none given back between the parts of a step.

By default each tensor of more than 32 MB is new memory, which the kernel fills with zeros page by
page: half the time of a CPU's step of 0.5B parameters. (glibc's manual, "Memory Allocation
Tunables"; other C libraries read no such variable.)
"""
WHICH_CLUSTER = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT")
"""Variables without which SLURM's commands would not find their cluster, or not be let in."""
DEVICES = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK")
"""Variables that name the GPUs of an allocation; outside of one they are the user's own."""


def leave_allocation(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what it has of an allocation, and without defaults of sbatch's.

    sbatch hands its environment on to the job, where an allocation's memory or tasks contradict the
    job's own, and a variable SBATCH_X outweighs the script's line of X: what a job asks would not
    be what the plan says. What a job needs, SLURM sets in it.
    """
    inside = "SLURM_JOB_ID" in environment
    return {
        name: value
        for name, value in environment.items()
        if (name in WHICH_CLUSTER or not name.startswith(SLURM_PREFIXES))
        and not (inside and name in DEVICES)
    }


def list_sbatch_defaults(environment: Mapping[str, str]) -> list[str]:
    """Names of a user's own defaults of sbatch, which are not handed on."""
    return sorted(name for name in environment if name.startswith("SBATCH_"))


@contextmanager
def leave_allocation_for_sbatch() -> Iterator[None]:
    """While this lasts, processes that are started find no trace of an allocation."""
    before = dict(os.environ)  # submitit lets no environment be given
    outside = leave_allocation(before)
    removed = {name: value for name, value in before.items() if name not in outside}
    for name in removed:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(removed)


def allocator_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """How PyTorch's allocator of a GPU takes memory; a user's own setting stays.

    Every batch has shapes of its own, so segments of a fixed size would leave holes between blocks.
    """
    own = [name for name in ALLOCATOR if name in environment]
    return {ALLOCATOR[0]: "expandable_segments:True"} if not own else {}


def heap_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """How memory of the CPU is taken; a user's own setting stays."""
    return {} if TUNABLES in environment else {TUNABLES: KEEP_PAGES}


def common_environment(threads: int) -> dict[str, str]:
    """Threads, and silence of the libraries."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        **allocator_environment(os.environ),
        **heap_environment(os.environ),
    }


def slurm_environment(code: Path, threads: int, offline: bool) -> dict[str, str]:
    """Of a SLURM job: also the snapshot's code before any other, and no network if so set."""
    # Relative entries mean another folder on the node.
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    python_path = [str(Path(entry).resolve()) for entry in entries if entry]
    variables = common_environment(threads) | {
        "PYTHONPATH": os.pathsep.join([str(code), *python_path]),
        "PYTHONSAFEPATH": "1",  # the folder a job starts in is no place to import from
    }
    return variables | ({"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"} if offline else {})
