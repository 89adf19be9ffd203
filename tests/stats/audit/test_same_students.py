"""Arms that trained the same student are said to be one; arms that tie are not."""

from pathlib import Path

import pytest

from kvdistill import layout
from kvdistill.files import read_json, read_sealed, write_sealed
from kvdistill.stats.load import load_study
from tests.stats import fake

ARMS = {"q": {"sft": 0.1, "kv": 0.3, "both": 0.3}}
DIGESTS = {"sft": "aa", "kv": "bb", "both": "bb"}


def write_study(root: Path, odd: tuple[int, ...] = ()) -> Path:
    """Arms whose students' weights are those of DIGESTS; `both` differs with the `odd` seeds."""
    study = fake.write_study(root, ARMS, seeds=(1, 2), tasks={"one": 20})
    for node in read_json(study / layout.PLAN)["runs"].values():
        arm, seed = node["arm"], node["seed"]
        path = root / node["folder"] / layout.MANIFEST
        digest = f"{DIGESTS[arm]}{seed}" + ("odd" if arm == "both" and seed in odd else "")
        files = {"model/model.safetensors": digest, "model/README.md": f"{arm}{seed}"}
        write_sealed(path, read_sealed(path) | {"files": files})
    return study


def test_two_arms_of_one_student_are_named(tmp_path: Path) -> None:
    (problem,) = load_study([write_study(tmp_path)]).problems
    assert problem.startswith(
        "q: kv and both trained the same student, to the bit, with seeds 1, 2"
    )


@pytest.mark.parametrize("odd", [(1,), (2,), (1, 2)])
def test_a_student_that_differs_with_any_seed_makes_two_arms(
    tmp_path: Path, odd: tuple[int, ...]
) -> None:
    assert load_study([write_study(tmp_path, odd)]).problems == []
