"""What a job's process finds in its environment, alike on this machine and on a cluster."""

import os
from pathlib import Path


def common_environment(threads: int) -> dict[str, str]:
    """Threads, and silence of the libraries."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
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
