"""Imported once by the server that local jobs fork from: seconds that each would pay again."""

import gc
import os

from kvdistill.garbage import pause_garbage_collection

# The check for a GPU must not open one here: a forked process could not use it.
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"

with pause_garbage_collection():
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed warns that it guesses so

    import deepspeed  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    import kvdistill.evaluate.write_records
    import kvdistill.jobs.builders
    import kvdistill.report.run_figures  # noqa: F401
    from kvdistill.plan.code.reach import PackageCode

    # Every job asks what code it is; parsed here, once for all.
    PackageCode().trace_modules(["kvdistill.train.run", "kvdistill.evaluate.write_records"])
    # The first model that is loaded or saved compiles a thousand patterns, of every architecture.
    get_checkpoint_conversion_mapping("")
# Nothing of all this is garbage: a job that collects its own need not look at it.
gc.collect()
gc.freeze()
