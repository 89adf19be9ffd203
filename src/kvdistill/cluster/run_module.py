"""Asks a module in a process of its own, so that the one that submits imports no torch."""

import json
import os
import subprocess
import sys
from typing import Any


def ask(module: str, given: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m module` with `given` as JSON on stdin; what it answers is in stdout and stderr."""
    return subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
