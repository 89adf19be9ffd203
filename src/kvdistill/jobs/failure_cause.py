"""Why a job failed, as far as it matters: only what another node can heal is tried again."""

import errno
import re

from kvdistill.errors import UserError

NODE_ERRNO = {
    errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO, errno.ENOTCONN,
    errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH,
}  # fmt: skip
NODE_TYPES = {"ConnectionError", "DistNetworkError", "DistBackendError", "DistStoreError"}
NODE_WORDS = re.compile(
    r"uncorrectable ECC|unspecified launch failure|CUDA error: (unknown|all CUDA-capable devices)"
    r"|CUDA-capable device\(s\) is/are busy|NCCL error|NVML|fell off the bus|hardware",
    re.IGNORECASE,
)
MEMORY_TYPES = {"MemoryError", "OutOfMemoryError"}
MEMORY_WORDS = re.compile(r"out of memory|can't allocate memory|Cannot allocate memory")


def classify_failure(error: BaseException) -> str:
    """config, memory, node or error.

    `node`: the same job may succeed elsewhere. `memory` and `config` fail the same way each time.
    Types are told by name, since this imports no torch.
    """
    if isinstance(error, UserError):
        return "config"
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & MEMORY_TYPES or MEMORY_WORDS.search(str(error)):
        return "memory"
    if names & NODE_TYPES or getattr(error, "errno", None) in NODE_ERRNO:
        return "node"
    if isinstance(error, RuntimeError) and NODE_WORDS.search(str(error)):
        return "node"
    return "error"
