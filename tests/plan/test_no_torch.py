import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.integration
def test_planning_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, runpy; sys.argv = ['launch.py', 'stage=plan', 'sweep=baselines',"
        f" 'root={tmp_path}']\n"
        "try: runpy.run_path('launch.py', run_name='__main__')\n"
        "except SystemExit as done: assert not done.code, done.code\n"
        "assert not {'torch', 'transformers', 'lm_eval'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": "src", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.integration
def test_commands_import_no_library_of_the_report() -> None:
    """`launch.py --help` would wait for it, and so would every command that writes none."""
    code = (
        "import sys; import kvdistill.cli.main;"
        "print(*{'matplotlib', 'scipy', 'pandas', 'seaborn', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
