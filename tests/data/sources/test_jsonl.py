"""A user's file: what is read, and one line for each way it can be broken."""

import json

import pytest

from kvdistill.data.build import DataSettings, build_data
from kvdistill.data.sources.jsonl import Jsonl
from kvdistill.errors import ConfigError

ROW = {"question": "1 + 1?", "rationale": "count", "answer": "2"}
FIELDS = {"question": "question", "rationale": "rationale", "answer": "answer"}


def write_source(path, content, **values):
    path.write_bytes(content)
    return Jsonl(path=str(path), fields=FIELDS, task="sums", **values)


def encode_lines(*rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_rows_are_read_in_order_with_ids_by_row(tmp_path):
    content = (
        b"\xef\xbb\xbf"
        + encode_lines(ROW)
        + b"\r\n\n"
        + encode_lines(ROW | {"question": "\u4e2d?"})
    )
    records = write_source(tmp_path / "own.jsonl", content).records()
    assert [each.id for each in records] == ["own-1", "own-4"]
    assert [each.question for each in records] == ["1 + 1?", "\u4e2d?"]
    assert {each.source for each in records} == {"own"}


def test_a_last_line_needs_no_newline(tmp_path):
    assert len(write_source(tmp_path / "own.jsonl", encode_lines(ROW, ROW).rstrip()).records()) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"own\.jsonl is empty"),
        (b"\n \n", r"own\.jsonl is empty"),
        (
            encode_lines(ROW, {"question": "1?"}),
            r"own\.jsonl row 2, field (rationale|answer): no column",
        ),
        (encode_lines(ROW, ROW | {"answer": ""}), r"row 2, field answer: empty"),
        (
            encode_lines(ROW) + b'{"question": "a", "answer": "\xff"}\n',
            r"row 2, byte 30, field answer: not UTF-8",
        ),
        (encode_lines(ROW) + b'{"question": \n', r"row 2, column \d+: not JSON"),
        (encode_lines(ROW) + b"[1]\n", r"row 2: a list, not an object"),
        (encode_lines(ROW) + b'{"answer": NaN}\n', r"row 2: not JSON: NaN is no number of JSON"),
        (
            encode_lines(ROW) + b'{"answer": ' + b"9" * 5000 + b"}",
            r"row 2: not JSON: Exceeds the limit",
        ),
        (encode_lines(ROW) + b"[" * 100_000, r"row 2: nested too deeply"),
        (
            encode_lines(ROW, ROW | {"question": "x" * 1_000_000}),
            r"row 2, field question: .*longer than",
        ),
    ],
)
def test_a_broken_file_is_named_by_row_and_field_and_nothing_is_written(tmp_path, content, message):
    broken = write_source(tmp_path / "own.jsonl", content)
    with pytest.raises(ConfigError, match=message) as caught:
        build_data(broken, DataSettings(), tmp_path / "split")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["own.jsonl"]


def test_a_mapping_is_refused_before_a_file_is_opened():
    with pytest.raises(ConfigError, match=r"data\.source\.fields has no answer"):
        Jsonl(path="nowhere.jsonl", fields={"question": "q"}, task="sums")


def test_a_missing_file_is_named():
    with pytest.raises(ConfigError, match=r"data\.source\.path: nowhere\.jsonl cannot be read"):
        Jsonl(path="nowhere.jsonl", fields=FIELDS, task="sums").records()


def test_a_file_edited_after_planning_is_refused(tmp_path):
    import pytest

    from kvdistill.data.sources.jsonl import Jsonl
    from kvdistill.errors import ArtifactError
    from kvdistill.files import sha256

    path = tmp_path / "own.jsonl"
    path.write_text('{"question": "q", "answer": "a"}\n')
    fields = {"question": "question", "answer": "answer"}
    source = Jsonl(path=str(path), fields=fields, task="own", sha256=sha256(path))
    assert len(source.records()) == 1
    path.write_text('{"question": "q", "answer": "b"}\n')
    with pytest.raises(ArtifactError, match=r"own\.jsonl changed since the run was planned"):
        source.records()
