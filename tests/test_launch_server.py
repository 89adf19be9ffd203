"""The server of commands that other tests ask."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.launch_server import launch, start_shared_server


@pytest.mark.integration
def test_threads_get_each_the_answer_to_its_own_command() -> None:
    start_shared_server()  # here: it dies with the thread that starts it
    commands = [("--help",), ("fusion=nothing",), ("stage=nothing",)]
    with ThreadPoolExecutor(len(commands)) as pool:
        ended = list(pool.map(lambda command: launch(*command), commands))
    assert [one.returncode for one in ended] == [0, 2, 2]
    assert [one.args for one in ended] == [list(command) for command in commands]
    assert "stage=" in ended[0].stdout
    assert "fusion=nothing" in ended[1].stderr
    assert "stage=nothing" in ended[2].stderr
