"""A user's file in each format that is read, and one line with the way out for each that is not."""

import gzip
import io
import json

import pandas as pd
import pytest

from kvdistill.data.rows.row_files import read_row_file
from kvdistill.data.sources.jsonl import Jsonl
from kvdistill.errors import ConfigError

ROWS = [{"question": f"Wie viel \u00e4 ist {n}?", "answer": str(n)} for n in range(3)]
FIELDS = {"question": "question", "answer": "answer"}


def encode_lines(rows=ROWS):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def encode_parquet(rows=ROWS):
    file = io.BytesIO()
    pd.DataFrame(rows).to_parquet(file)
    return file.getvalue()


def zip_bytes(content):
    # Without the time: what is a test's parameter must be the same in every worker.
    return gzip.compress(content, mtime=0)


CONTENTS = {
    "own.jsonl": encode_lines(),
    "own.jsonl.gz": zip_bytes(encode_lines()),
    "own.json": json.dumps(ROWS, indent=1).encode(),
    "own.json.gz": zip_bytes(json.dumps(ROWS).encode()),
    "own.parquet": encode_parquet(),
    "own.csv": pd.DataFrame(ROWS).to_csv(index=False).encode(),
    "own.csv.gz": zip_bytes(b"\xef\xbb\xbf" + pd.DataFrame(ROWS).to_csv(index=False).encode()),
    "own.tsv": pd.DataFrame(ROWS).to_csv(index=False, sep="\t").encode(),
    # Named otherwise than they are: the content decides.
    "own.txt": encode_lines(),
    "own": zip_bytes(encode_lines()),
    "own.data": encode_parquet(),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_every_format_gives_the_same_records(tmp_path, name):
    (tmp_path / name).write_bytes(CONTENTS[name])
    records = Jsonl(path=str(tmp_path / name), fields=FIELDS, task="own").records()
    assert [(r.id, r.source, r.question, r.answer) for r in records] == [
        (f"own-{n + 1}", "own", row["question"], row["answer"]) for n, row in enumerate(ROWS)
    ]


GB = "\u5c0f\u660e\u6709\u591a\u5c11\u4e2a\u82f9\u679c?"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("own.jsonl", encode_lines().decode().encode("utf-16"), "in UTF-16.*iconv -f UTF-16"),
        ("own.jsonl", encode_lines().decode().encode("utf-32"), "in UTF-32.*iconv -f UTF-32"),
        ("own.jsonl.zst", b"\x28\xb5\x2f\xfd rest", r"by zstd.*zstd -d own\.jsonl\.zst"),
        ("own.jsonl.xz", b"\xfd7zXZ\x00 rest", "is compressed by xz.*xz -d"),
        ("own.jsonl.bz2", b"BZh91AY rest", "is compressed by bzip2.*bzip2 -d"),
        ("own.xlsx", b"PK\x03\x04 rest", "is a zip archive or a spreadsheet.*unzip"),
        ("own.arrow", b"ARROW1 rest", "is an Arrow file.*parquet"),
        ("own.jsonl.gz", zip_bytes(encode_lines())[:-9], "begins as gzip and is not whole"),
        ("own.parquet", encode_parquet()[:-9], "is no whole parquet file"),
        ("own.parquet", encode_lines(), "is no whole parquet file"),
        ("own.csv", b'q,a\n"open,1\n', r"line \d: .*head line"),
        ("own.csv", f"question,answer\n1,1\n{GB},2\n".encode("gbk"), "line 3.*-f GB18030 -t UTF-8"),
        ("own.json", b'[{"question": 1},\n {]', r"own\.json, line 2, column 3: not JSON"),
        ("own.json", b"[1]", r"own\.json row 1: a int, not an object"),
        ("own.jsonl", f'{{"q": "{GB}"}}\n'.encode("gbk"), r"row 1, byte \d+, field q:.*GB18030"),
        ("own.jsonl", '{"question": "\u00e4\u00e9"}\n'.encode("latin-1"), "row 1.*WINDOWS-1252"),
        ("own.jsonl", json.dumps(ROWS, indent=1).encode(), r"row 1.*one object a line"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_named_with_the_way_out(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=rf"^data\.source\.path: .*{message}") as caught:
        list(read_row_file(tmp_path / name, "data.source.path"))
    assert "\n" not in str(caught.value)


def test_a_folder_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory\. Give a file of JSON"):
        list(read_row_file(tmp_path, "data.source.path"))


def test_a_missing_cell_of_a_table_is_no_text(tmp_path):
    frame = pd.DataFrame({"question": ["1?", "2?", "3?"], "answer": [1, None, 3]})
    frame.to_parquet(tmp_path / "own.parquet")
    values = {"path": str(tmp_path / "own.parquet"), "fields": FIELDS, "task": "own"}
    with pytest.raises(ConfigError, match=r"own\.parquet row 2, field answer: .*(None|nan)"):
        Jsonl(**values).records()
    reading = Jsonl(**values, skip_incomplete=True).read_records()
    # Whole numbers beside a missing one come as fractions.
    assert [record.answer for record in reading.records] == ["1", "3"]
    report = reading.tallies["own"].to_report()
    assert (report["rows"], report["left_out"]) == (3, {"missing": 1})
