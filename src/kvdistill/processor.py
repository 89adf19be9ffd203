"""What this machine's processor multiplies quickly, asked of the system and not of torch."""

import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""As Linux names them: of x86 vectors, of x86 tiles, of ARM."""


def multiplies_bf16_fast(cpuinfo: Path = CPUINFO) -> bool:
    """Whether it has instructions that multiply bfloat16; False where the system does not say.

    Without them torch converts every factor, which is slower than float32.
    """
    try:
        text = cpuinfo.read_text("utf-8", errors="replace")
    except OSError:  # no Linux
        return False
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return flags is not None and not BF16_FLAGS.isdisjoint(flags[1].split())
