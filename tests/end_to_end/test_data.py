"""Data through launch.py: what refuses, in one line, and before anything is trained."""

import json
import re
from pathlib import Path

import pytest

from tests.data.factories import make_record
from tests.launch_server import launch

pytestmark = pytest.mark.integration

ITEM = "On the farm Ann picks twelve baskets of plums before lunch and nine after it; how many?"
NANO = ["data.source.rows=40", "tasks=quick", "train.calibration_rows=8"]


def rows(count: int, start: int = 0) -> list[dict[str, str]]:
    made = [make_record(number) for number in range(start, start + count)]
    return [{"question": r.question, "rationale": r.rationale, "answer": r.answer} for r in made]


def lines(given: list[dict[str, str]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in given)


def read_error_line(error: str) -> str:
    [line] = [line for line in error.splitlines() if line.startswith("error: ")]
    assert error.endswith(line + "\n")
    return line


def test_an_evaluation_item_in_the_data_stops_a_run_before_training(tmp_path: Path) -> None:
    own, folder = tmp_path / "own.jsonl", tmp_path / "bench/gsm8k/main"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text(json.dumps({"question": ITEM, "answer": "#### 21"}) + "\n")
    # Its copies lie in other texts, so that some are sure to be drawn into training.
    planted = [row | {"question": f"{row['question']} {ITEM}"} for row in rows(40, 900)]
    own.write_bytes(lines(rows(60) + planted))
    done = launch(
        f"root={tmp_path}", "arm=sft", "data=jsonl", f"data.source.path={own}",
        "data.leakage.near=report", "tasks=gsm8k_zero", f"tasks.data_root={tmp_path / 'bench'}",
    )  # fmt: skip
    assert done.returncode == 1
    assert re.search(r"1 of 1 runs failed\. validation-\w+: data leaks: \d+ hits", done.stderr)
    line = read_error_line(done.stderr)
    assert re.search(r"(train_teachers|train_student) and gsm8k_zero share \d+ \(ngram\)", line)
    assert "'own-" in line
    report = json.loads((tmp_path / "runs/nano/validation_report.json").read_text())
    assert report["verdict"] == "leak"
    [refused] = (tmp_path / "artifacts").glob("validation-*/")
    assert json.loads((refused / "validation_report.json").read_text()) == report
    assert not (refused / "manifest.json").exists()
    assert not list(tmp_path.glob("runs/nano/runs/*/model"))


def test_a_split_is_built_alone_and_checked_again_as_it_lies_on_disk(tmp_path: Path) -> None:
    done = launch("stage=data", f"root={tmp_path}", *NANO)
    assert done.returncode == 0, done.stderr
    assert "nano_arithmetic" in done.stdout
    assert not (tmp_path / "runs").exists()
    kinds = sorted(path.name.split("-")[0] for path in (tmp_path / "artifacts").glob("*/"))
    assert kinds == ["split", "validation"]
    [split] = (tmp_path / "artifacts").glob("split-*/")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = launch("stage=data", "data.validate_only=true", f"root={tmp_path}", *NANO)
    assert done.returncode == 0, done.stderr
    assert ": clean" in done.stdout
    moved = json.loads((split / "test.jsonl").read_text(encoding="utf-8").splitlines()[0])
    with (split / "train_student.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(moved | {"id": "moved"}) + "\n")
    done = launch("stage=data", "data.validate_only=true", f"root={tmp_path}", *NANO)
    assert done.returncode == 1
    line = read_error_line(done.stderr)
    assert "data leaks: " in line
    assert "'moved'" in line
    assert "train_student.jsonl is altered since it was built" in line
    changed = {path for path, content in before.items() if path.read_bytes() != content}
    assert changed == {split / "train_student.jsonl"}


BAD = {
    "empty": (b"", r"empty\.jsonl is empty"),
    "field": (lines([*rows(9), {"question": "1?", "rationale": "so"}]),
              r"field\.jsonl row 10, field answer: no column 'answer'"),
    "answer": (lines([*rows(9), rows(1, 50)[0] | {"answer": " "}]),
               r"answer\.jsonl row 10, field answer: empty"),
    "utf": (lines(rows(9)) + b'{"question": "a", "answer": "\xff"}\n',
            r"utf\.jsonl row 10, byte 30, field answer: not UTF-8"),
    "long": (lines([*rows(9), rows(1, 50)[0] | {"question": "x" * 1_000_000}]),
             r"long\.jsonl row 10, field question: column 'question' is longer than"),
    "few": (lines(rows(2)), r"data\.split leaves \w+ empty at ratios"),
}  # fmt: skip


def test_every_broken_file_gets_its_line_and_leaves_no_split(tmp_path: Path) -> None:
    for name, (content, _) in BAD.items():
        (tmp_path / f"{name}.jsonl").write_bytes(content)
    paths = ",".join(str(tmp_path / f"{name}.jsonl") for name in BAD)
    done = launch("-m", "stage=data", f"root={tmp_path}", "data=jsonl", f"data.source.path={paths}")
    assert done.returncode == 1
    line = read_error_line(done.stderr)
    for _, says in BAD.values():
        assert re.search(says, line), says
    left = {path.name for path in (tmp_path / "artifacts").glob("split-*/*")}
    assert left == {"config.yaml", "code.json", "status.json", "log.txt"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["data.split.ratios=[0.7,0.2,0.2]"], "data.split.ratios must sum to 1, got [0.7, 0.2"),
        (["stage=data", "data.leakage.near=keep"], "data.leakage.near must be drop, refuse or"),
        (["data.validate_only=true"], "data.validate_only=true checks a split and does nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[-1],
)
def test_a_bad_setting_is_refused_before_anything_is_written(
    arguments: list[str], says: str, tmp_path: Path
) -> None:
    done = launch(*arguments, f"root={tmp_path}")
    assert done.returncode == 2, done.stderr
    assert says in read_error_line(done.stderr)
    assert not list(tmp_path.iterdir())


def test_nothing_to_check_again_is_said(tmp_path: Path) -> None:
    done = launch("stage=data", "data.validate_only=true", f"root={tmp_path}")
    assert done.returncode == 1
    assert "is no finished split. Build it with stage=data." in read_error_line(done.stderr)
