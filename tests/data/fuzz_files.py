"""Fuzzing of data files: strategies for broken and unusual ones, and a run of one example."""

import contextlib
import io
import json
import logging
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import strategies as st

from kvdistill.data.rows.cells import read_cell
from kvdistill.data.rows.markup import UNMISTAKABLE_RULES, clean_fields
from kvdistill.errors import RowError
from tests.config.strange import ROOT, WORDS, Outcome, find_line_fault, literal
from tests.data.factories import make_record

TIME_LIMIT_S = 60
"""After which an example counts as hanging."""
GSM8K_ONLY = tuple(
    f"~data.source.parts.{name}" for name in ("math", "aqua", "ecqa", "school_math_zh")
)
FOLDER_OVERRIDES = (
    "data=multi_reasoning",
    *GSM8K_ONLY,
    "data.source.parts.gsm8k.pattern=null",
    "data.source.parts.gsm8k.config=null",
    "style=direct",  # without the pattern no row has a worked answer
)
FILE_OVERRIDES = ("data=jsonl", "tasks=quick")
WHOLE_DATA_REFUSALS = (
    "data.split leaves", "data.source gives the id", "data leaks", "data.source.parts.gsm8k has",
)  # fmt: skip
"""How refusals begin that concern all rows together, and so name no file."""
DEPTH = 100_000

Content = bytes | str
"""Of a file; a str is what stands there instead: `fifo`, `folder`, `nothing`, or `-> TARGET`."""
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class UserData:
    """Files on disk and the overrides of the command that is to read them."""

    overrides: tuple[str, ...]
    files: dict[str, Content]
    path: str
    """The file or folder that the command names, below the folder of them all."""
    questions: frozenset[str] = frozenset()
    """The questions that a split may hold; empty where they are not known."""
    mapped: bool = False
    """Whether the column mapping is unusual too, so that a refusal may concern that."""
    note: str = field(default="", compare=False)


def make_rows(count: int) -> Rows:
    """Valid rows, none of them a near copy of another."""
    records = [make_record(number) for number in range(count)]
    return [{"question": r.question, "rationale": r.rationale, "answer": r.answer} for r in records]


CELLS: tuple[Any, ...] = (
    None, True, 0, -7, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", " ", "\x00",
    "a\x00b", "\u2028", "\u202e", "\U0001f600" * 9, "e\u0301" * 50, "\x1b[2J", "x" * 99_999,
    "x" * 100_001, "word " * 19_000, "\u6c49" * 33_000, "\u6c49" * 34_000, [], ["A", "B"], [1, "B"],
    {}, {"a": {"b": [1]}}, [[["deep"]]], "NaN", "null", "=1+1", "<b>", "{question}", "\\n", "\r",
    "1" * 4000, "#### 5", *(word for word in WORDS if "\ud800" not in word),
)  # fmt: skip
LINES: tuple[bytes, ...] = (
    b"{", b"}", b"[]", b"{}", b"null", b"1", b'"text"', b"NaN", b'{"question": NaN}', b"1e999",
    b'{"question": "\xff"}', b'{"question": "\xed\xa0\x80"}', b'{"question": "\\ud800"}',
    b'{"question": "\\udc00\\ud800", "answer": "1", "rationale": "r"}', b"\x00" * 40,
    b"[" * DEPTH, b'{"a":' * DEPTH, b'{"question": ' + b"9" * 5000 + b"}", b"\xff\xfe{\x00}\x00",
    b'{"question": "a", "question": "b", "rationale": "c", "answer": "d"}', b"# comment",
    b'{"question": "a" "answer": "b"}', b"{'question': 'a'}", b'{"question": "a\x01b"}',
    b'{"question": "' + b"y" * 2_000_000 + b'"}', b'\xef\xbb\xbf{"question": "late BOM"}',
    b"{" + b",".join(b'"k%d": 1' % n for n in range(9000)) + b"}", b" ", b"\x0b", b"\x85",
)  # fmt: skip


def encode_jsonl(rows: Rows) -> bytes:
    """As jsonl, each character as itself."""
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    return "".join(line + "\n" for line in lines).encode("utf-8", "surrogatepass")


@st.composite
def draw_rows(draw: st.DrawFn, count: int) -> Rows:
    """Valid rows, up to three times altered."""
    rows: list[dict[str, Any]] = [dict(row) for row in make_rows(count)]
    for _ in range(draw(st.integers(0, 3))):
        row = rows[draw(st.integers(0, count - 1))]
        key = draw(st.sampled_from(("question", "rationale", "answer", "id", "\x00", "other")))
        kind = draw(st.integers(0, 8))
        if kind == 0:
            row.pop(key, None)
        elif kind == 1:
            row |= {f"more{n}": n for n in range(draw(st.sampled_from((1, 50, 2000))))}
        elif kind == 2:
            rows += [dict(row)] * draw(st.sampled_from((1, 3, 40)))
        elif kind == 3:
            row[key] = draw(st.text(max_size=20))
        else:
            row[key] = draw(st.sampled_from(CELLS))
    return rows


def list_file_mutations(content: bytes) -> dict[str, Callable[[], bytes]]:
    """By name, what may happen to a whole file."""
    text = content.decode("utf-8", "replace")
    return {
        "as it is": lambda: content,
        "BOM": lambda: b"\xef\xbb\xbf" + content,
        "CRLF": lambda: content.replace(b"\n", b"\r\n"),
        "CR": lambda: content.replace(b"\n", b"\r"),
        "no last newline": lambda: content.rstrip(b"\n"),
        "utf-16": lambda: text.encode("utf-16", "replace"),
        "utf-16-le": lambda: text.encode("utf-16-le", "replace"),
        "latin-1": lambda: text.encode("latin-1", "replace"),
        "one line": lambda: content.replace(b"\n", b" "),
        "array": lambda: b"[" + content.rstrip(b"\n").replace(b"\n", b",") + b"]",
        "empty": lambda: b"",
        "blank": lambda: b" \n\t\n\r\n",
        "cut": lambda: content[: len(content) // 2],
        "NULs": lambda: content + b"\x00" * 5000,
        "twice": lambda: content * 2,
        "magic": lambda: b"PAR1" + content + b"PAR1",
        "gzip": lambda: b"\x1f\x8b\x08" + content,
        "zip": lambda: b"PK\x03\x04" + content,
    }


MAPPINGS: tuple[tuple[str, ...], ...] = (
    ("data.source.fields.rationale=null",),
    ("data.source.fields.question='{question} {answer}'",),
    ("data.source.fields.question='{question'",),
    ("data.source.fields.question='{}'",),
    ("data.source.fields.question='{0}'",),
    ("data.source.fields.question='{question.x}'",),
    ("data.source.fields.question='{question[0]}'",),
    ("data.source.fields.question='{question!r}'",),
    ("data.source.fields.question='{question:>999999999}'",),
    ("data.source.fields.question=''",),
    ("data.source.fields.question='a.b'",),
    ("data.source.fields.id=answer",),
    ("data.source.fields.id=rationale",),
    ("data.source.fields.task=question",),
    ("data.source.pattern='('",),
    ("data.source.pattern='x'",),
    ("data.source.pattern='(?P<answer>)'",),
    ("data.source.pattern='(?P<answer>.*)'",),
    ("data.source.task=null",),
    ("data.source.task=''",),
    ("data.split.teacher_separate=false",),
    ("data.leakage.near=refuse",),
    ("data.split.ratios=[0.98,0.01,0.01]",),
)
NAMES = (
    "own.jsonl", "own", "own.parquet", "own.csv", "a b.jsonl", "\u6c49.jsonl", "a'b\".jsonl",
    "a=b.jsonl", "{a}.jsonl", "$HOME.jsonl", "-m.jsonl", "a,b.jsonl", ".jsonl", "a%s.jsonl",
    "x" * 200 + ".jsonl",
)  # fmt: skip
SPECIAL_FILES: dict[str, Content] = {
    "own.jsonl": "folder", "pipe.jsonl": "fifo", "gone.jsonl": "nothing",
    "loop.jsonl": "-> loop.jsonl", "dangling.jsonl": "-> nowhere", "zero.jsonl": "-> /dev/zero",
    "null.jsonl": "-> /dev/null",
}  # fmt: skip


@st.composite
def single_files(draw: st.DrawFn) -> UserData:
    """data=jsonl: one file, valid or not."""
    if draw(st.integers(0, 14)) == 0:
        path = draw(st.sampled_from(sorted(SPECIAL_FILES)))
        return UserData(FILE_OVERRIDES, {path: SPECIAL_FILES[path]}, path, note="place")
    file_rows = draw(draw_rows(draw(st.sampled_from((60, 40, 50, 90, 3)))))
    content, known = encode_jsonl(file_rows), frozenset(read_questions(file_rows))
    if draw(st.integers(0, 2)) == 0:
        lines = content.split(b"\n")
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(LINES)))
        content, known = b"\n".join(lines), frozenset()
    ways = list_file_mutations(content)
    way = draw(st.sampled_from(sorted(ways))) if draw(st.booleans()) else "as it is"
    content = ways[way]()
    if draw(st.integers(0, 19)) == 0:
        content, known = draw(st.binary(max_size=300)), frozenset()
    mapping = draw(st.sampled_from(MAPPINGS)) if draw(st.integers(0, 3)) == 0 else ()
    known = known if way in ("as it is", "BOM", "CRLF", "twice") and not mapping else frozenset()
    path = draw(st.sampled_from(NAMES)) if draw(st.integers(0, 3)) == 0 else "own.jsonl"
    return UserData((*FILE_OVERRIDES, *mapping), {path: content}, path, known, bool(mapping), way)


def read_questions(rows: Rows) -> Iterator[str]:
    """The questions of rows, as they must be read: texts and numbers, in one form of Unicode."""
    # Checked types draw which item of a list they look at; a strategy may not.
    state = random.getstate()
    for row in rows:
        with contextlib.suppress(RowError):
            text = read_cell(row, "question", "row", "question")
            yield clean_fields({"question": text}, UNMISTAKABLE_RULES)[0]["question"].strip()
    random.setstate(state)


def encode_table(rows: Rows, kind: str) -> bytes:
    """Rows as csv, json or parquet. Raises whatever the writer raises of unusual cells."""
    frame, file = pd.DataFrame(rows), io.BytesIO()
    if kind == "csv":
        return frame.to_csv(index=False).encode("utf-8", "surrogatepass")
    if kind == "json":
        return json.dumps(rows).encode()
    frame.to_parquet(file)
    return file.getvalue()


@st.composite
def folders(draw: st.DrawFn) -> UserData:
    """data=multi_reasoning with data.root: a folder of local copies, in any format."""
    kind = draw(st.sampled_from(("jsonl", "csv", "parquet", "json")))
    file_rows = draw(draw_rows(draw(st.sampled_from((60, 40, 50, 90, 3)))))
    texts = all(isinstance(row.get("question", ""), str) for row in file_rows)
    try:
        content = encode_jsonl(file_rows) if kind == "jsonl" else encode_table(file_rows, kind)
    except Exception:  # noqa: BLE001 - no such file can be written
        content = b"not to be written"
    undamaged = content
    if draw(st.integers(0, 2)) == 0:
        content = draw(st.sampled_from(list_damages(content)))
    odd = ("train.txt", "train", "train.parquet", "train.csv", "test.csv")
    name = draw(st.sampled_from(odd)) if draw(st.integers(0, 7)) == 0 else f"train.{kind}"
    files: dict[str, Content] = {f"gsm8k/{name}": content}
    if draw(st.integers(0, 3)) == 0:
        files |= draw(st.sampled_from(EXTRA_FILES))
    questions_known = texts and content == undamaged and name == f"train.{kind}" and len(files) == 1
    row_count = draw(st.sampled_from((30, 38, 2, 100)))
    overrides = (*FOLDER_OVERRIDES, f"data.source.rows={row_count}", "tasks=quick")
    return UserData(
        overrides,
        files,
        ".",
        frozenset(read_questions(file_rows) if questions_known else ()),
        note=name,
    )


def list_damages(content: bytes) -> list[bytes]:
    """Versions of a table's file, damaged."""
    middle = len(content) // 2
    flipped = content[:middle] + bytes(255 - b for b in content[middle : middle + 8])
    return [
        b"", content[:middle], content[middle:], content[:-1], flipped + content[middle + 8 :],
        b"\xef\xbb\xbf" + content, content.replace(b"\n", b"\r\n"), content.replace(b"\n", b"\r"),
        content.replace(b'"', b"'"), content.replace(b",", b";"), content + b'"open,quote\n',
        content + b"1,2,3,4,5,6,7,8,9\n", content[: content.find(b"\n") + 1],
        content + b"\x00" * 99,
        content + b"\xff\xfe\n", content + b"[" * DEPTH, b"PAR1PAR1", b"\n" * 50, content * 2,
    ]  # fmt: skip


PLANTED_LOADER = b"import pathlib\npathlib.Path('HERE/ran').touch()\n"
"""A loading script that must never be run; HERE is the folder of the example."""
EXTRA_FILES: tuple[dict[str, Content], ...] = (
    {"gsm8k/gsm8k.py": PLANTED_LOADER},
    {"gsm8k/README.md": b"---\nconfigs:\n- config_name: main\n  data_files: /etc/passwd\n---\n"},
    {"gsm8k/README.md": b"---\nconfigs: [\n---\n"},
    {"gsm8k/README.md": b"---\ndataset_info: 5\n---\n"},
    {"gsm8k/dataset_infos.json": b"{"},
    {"gsm8k/train-2.jsonl": b'{"question": {"a": 1}}\n'},
    {"gsm8k/more": "folder"},
    {"gsm8k/train.zip": b"PK\x03\x04 no archive"},
    {"gsm8k/pipe.jsonl": "fifo"},
    {"gsm8k/link.jsonl": "-> /dev/zero"},
    {"gsm8k/loop": "-> ."},
    {"gsm8k/.hidden.jsonl": b"{"},
)  # fmt: skip


def user_data() -> st.SearchStrategy[UserData]:
    """Single files twice as often as folders."""
    return st.one_of(single_files(), single_files(), folders())


def write_files(data: UserData, folder: Path) -> Path:
    """Writes the files below the folder; returns the path that the command names."""
    for name, content in data.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content.replace(b"HERE", bytes(folder.parent)))
        elif content == "fifo":
            os.mkfifo(path)
        elif content == "folder":
            path.mkdir()
        elif content.startswith("-> "):
            path.symlink_to(content.removeprefix("-> "))
    return folder / data.path


def write_command(data: UserData, place: Path) -> list[str]:
    """The overrides of the command."""
    setting = "data.root" if data.overrides[0] == FOLDER_OVERRIDES[0] else "data.source.path"
    return [*data.overrides, f"{setting}={literal(str(place))}"]


class HangingError(Exception):
    """An example took longer than its time limit."""


@contextlib.contextmanager
def limit_time(seconds: float) -> Iterator[None]:
    """Raises HangingError inside the block after so many seconds."""

    def raise_timeout(*_: Any) -> None:
        raise HangingError(f"still at it after {seconds} s")

    before = signal.signal(signal.SIGALRM, raise_timeout)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_example(data: UserData, folder: Path) -> Outcome:
    """Plans with the data and builds its split, as the jobs of stage=data do.

    Hydra must be initialised on conf/. `folder` must be empty.
    """
    import kvdistill.jobs.builders
    import kvdistill.train.preflight  # noqa: F401 - torch is not what is timed
    from kvdistill.errors import ConfigError, UserError

    # Not named "data": a message must name the setting, and its path would pass for that.
    place, root = write_files(data, folder / "given"), folder / "root"
    root.mkdir()
    began, message, fault, accepted = time.perf_counter(), "", "", True
    try:
        with limit_time(TIME_LIMIT_S), silence_libraries():
            fault = find_split_fault(
                data, build_split_of_command([*write_command(data, place), f"root={root}"], root)
            )
    except ConfigError as error:
        accepted, message = False, str(error)
        fault = find_message_fault(data, place, message) or find_leftovers(root)
    except UserError as error:
        accepted, message, fault = False, str(error), "a bad file is no ConfigError"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        accepted, message, fault = False, f"{type(error).__name__}: {error}", "it is no refusal"
    if (folder / "ran").exists():
        fault = "it ran what lay beside the data"
    return Outcome(accepted, message, time.perf_counter() - began, fault)


@contextlib.contextmanager
def silence_libraries() -> Iterator[None]:
    """Drops what libraries print and log."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def build_split_of_command(overrides: list[str], root: Path) -> Path:
    """The split of a command, built in this process; raises what its job would raise."""
    from kvdistill.jobs.builders import build_split
    from kvdistill.plan.expand import expand_command
    from kvdistill.plan.pin import assume_commits
    from kvdistill.train.preflight import check_run_config

    plan = expand_command([[*overrides, "stage=plan"]], ROOT / "sweeps")
    (run,) = [run for run in plan.runs.values() if run.config["trained"]]
    check_run_config(assume_commits(run.config))
    node = plan.artifacts[run.node.needs["split"]]
    folder = root / "artifacts" / node.name
    build_split(node.recipe, {}, folder, lambda *_: None)
    return folder


def find_split_fault(data: UserData, split: Path) -> str:
    """What is wrong with a split that was built; empty for nothing."""
    from kvdistill.data.split import read_split

    parts = read_split(split).parts()
    if not all(parts.values()):
        return "a part is empty"
    questions = {record.question for part in parts.values() for record in part}
    if data.questions and not questions <= data.questions:
        return f"a question was altered: {sorted(questions - data.questions)[0]!r}"
    names = {path.name for path in split.parent.iterdir()}
    return "" if names == {split.name} else f"it left {sorted(names)}"


def find_leftovers(root: Path) -> str:
    """The files that a refusal left behind, but for the report of a leak; empty for none."""
    names = [p.name for p in root.rglob("*") if p.is_file() and p.name != "validation_report.json"]
    return f"it left {names}" if names else ""


def find_message_fault(data: UserData, place: Path, message: str) -> str:
    """What is wrong with a refusal's message; empty for nothing."""
    if wrong := find_line_fault(message):
        return wrong
    if "data" not in message.split(":")[0].split("=")[0] and not message.startswith(
        WHOLE_DATA_REFUSALS
    ):
        return "it names no setting"
    named = str(place) in message or data.mapped or message.startswith(WHOLE_DATA_REFUSALS)
    return "" if named else "it names no file"
