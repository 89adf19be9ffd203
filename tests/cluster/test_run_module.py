"""A function called in a process of its own: what it returns, and what it raises, come back."""

import atexit
import errno
import os
import subprocess
import sys

import pytest

from kvdistill.cluster.run_module import call_in_new_process
from kvdistill.errors import ConfigError, UserError


@pytest.mark.integration
def test_what_it_returns_comes_back_whatever_it_prints() -> None:
    assert call_in_new_process("json", "dumps", {"a": [1]}) == '{"a": [1]}'
    assert call_in_new_process("builtins", "print", "noise") is None


@pytest.mark.integration
def test_what_it_raises_is_raised_here_as_the_same_kind() -> None:
    with pytest.raises(ConfigError, match=r"^sweep=no is no file"):
        call_in_new_process("tests.cluster.test_run_module", "read_no_sweep", None)
    with pytest.raises(UserError, match=r"^os failed: .*TypeError: ") as error:
        call_in_new_process("os", "open", "nowhere")
    assert not isinstance(error.value, ConfigError)


def test_a_full_disk_is_one_here_too() -> None:
    with pytest.raises(OSError, match="No space left") as error:
        call_in_new_process("tests.cluster.test_run_module", "fill_disk", None)
    assert error.value.errno == errno.ENOSPC


def fill_disk(_: None) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_process_that_ends_without_an_answer_failed() -> None:
    with pytest.raises(UserError, match=r"^os failed: "):
        call_in_new_process("os", "_exit", 3)


@pytest.mark.integration
def test_an_answer_outlives_what_aborts_as_the_interpreter_ends() -> None:
    assert call_in_new_process("tests.cluster.test_run_module", "abort_at_exit", "late") == "late"


def abort_at_exit(value: str) -> str:
    atexit.register(os.abort)
    return value


def read_no_sweep(_: None) -> None:
    from pathlib import Path

    from kvdistill.plan.sweep import read_sweep

    read_sweep("no", Path("sweeps"))


@pytest.mark.integration
def test_the_server_answers_and_says_what_failed() -> None:
    """With a server that has nothing to import first."""
    code = (
        "from kvdistill.cluster.forkserver import SERVER\n"
        "from kvdistill.cluster.run_module import call_in_server_process\n"
        "from kvdistill.errors import UserError\n"
        "SERVER.set_forkserver_preload([])\n"
        "if __name__ == '__main__':\n"
        "    print(call_in_server_process('json', 'dumps', {'a': [1]}))\n"
        "    for name, argument in (('open', 'nowhere'), ('_exit', 3)):\n"
        "        try: call_in_server_process('os', name, argument)\n"
        "        except UserError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == '{"a": [1]}'
    assert lines[1].startswith("os failed: TypeError: ")
    assert lines[2] == "os failed: it was killed"
