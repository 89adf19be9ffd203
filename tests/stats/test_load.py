"""Records are read as they were written, or not at all."""

from pathlib import Path

import pytest

from kvdistill.errors import ArtifactError
from kvdistill.files import hashes, read_sealed, write_sealed
from kvdistill.stats.load import RECORDS, load_study
from tests.stats import fake

SPOILT = [(name, how) for name in RECORDS for how in ("flipped", "cut", "removed")]
SPOILT += [("manifest.json", "flipped"), ("manifest.json", "cut")]  # without one: unfinished
ROUTING = {"one": {"a": 0.25, "b": 0.75}}


def write_finished_study(root: Path) -> tuple[Path, Path]:
    """A study of one run, completed as a job completes it; (its folder, the run's)."""
    study = fake.write_study(root, {"q": {"multi": 0.3}}, seeds=(7,), tasks={"one": 20})
    (run,) = (study / "runs").iterdir()
    fake.write_json(run / "routing.json", {"weights": ROUTING})
    manifest = read_sealed(run / "manifest.json")
    write_sealed(run / "manifest.json", manifest | {"files": hashes(run, but={"manifest.json"})})
    return study, run


@pytest.mark.parametrize(("name", "how"), SPOILT)
def test_an_altered_record_is_named_and_no_number_is_read(
    tmp_path: Path, name: str, how: str
) -> None:
    study, run = write_finished_study(tmp_path)
    load_study([study])
    path = run / name
    data = bytearray(path.read_bytes())
    if how == "removed":
        path.unlink()
    else:
        where = data.rindex(b"0")  # a digit, so that JSON stays JSON
        data[where] ^= 1
        path.write_bytes(data if how == "flipped" else data[: len(data) // 2])
    with pytest.raises(ArtifactError, match=name):
        load_study([study])
