"""In which order the tests' files are handed out, and which of them go to one worker."""

from pathlib import Path
from types import SimpleNamespace

from tests.schedule import TOGETHER, find_group, pytest_collection_modifyitems

ROOT = Path(__file__).parents[2]


def make_item(nodeid: str, marked: bool) -> SimpleNamespace:
    path = Path(nodeid.split("::")[0])
    return SimpleNamespace(nodeid=nodeid, path=path, get_closest_marker=lambda _: marked or None)


def test_what_is_shared_comes_first_then_files_with_marked_tests() -> None:
    given = [
        ("tests/data/test_split.py::test_a", False),
        ("tests/kv/test_store.py::test_b", False),
        ("tests/kv/test_store.py::test_c", True),
        ("tests/house/test_commands.py::test_d", True),
        ("tests/end_to_end/test_launch.py::test_e", True),
        ("tests/house/test_sweeps.py::test_f", True),
        ("tests/slurm/test_sweep.py::test_g", False),
    ]
    items = [make_item(*each) for each in given]
    pytest_collection_modifyitems(items)  # type: ignore[arg-type]
    assert "".join(item.nodeid[-1] for item in items) == "gedfbca"


def test_files_that_share_something_are_one_piece_of_work() -> None:
    assert find_group("tests/slurm/test_sweep.py::test_a") == "a SLURM"
    assert find_group("tests/house/test_sweeps.py::test_a") == "compositions"
    assert find_group("tests/house/test_checks.py::test_a") is None


def test_every_shared_place_is_one_of_the_repository() -> None:
    for places in TOGETHER.values():
        for place in places:
            assert (ROOT / place).exists(), place
