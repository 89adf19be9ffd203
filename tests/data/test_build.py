"""A split with its report, or one line and nothing on disk."""

import json
import random
from dataclasses import dataclass, field

import pytest

from kvdistill.data.build import DataSettings, LeakError, build_data, check_split, make_documents
from kvdistill.data.leakage import DocumentSet, Leakage
from kvdistill.data.prompt_style import Style
from kvdistill.data.rows.tally import RowTally
from kvdistill.data.sources.base import Reading, Source
from kvdistill.data.split import Splitting, read_split, write_split
from kvdistill.data.tokenise import Tokeniser
from kvdistill.errors import ArtifactError, ConfigError
from tests.data.factories import make_byte_level_tokenizer, make_record

RECORDS = [make_record(number, task=f"t{number % 2}") for number in range(400)]
LONG = "How many rolls did Priya bake in all on Monday and on Tuesday together, asked {}?"


@dataclass(frozen=True, kw_only=True)
class Fixed(Source):
    rows: list = field(default_factory=list)

    def records(self):
        return self.rows


def build_fixed(folder, records=RECORDS, against=(), **settings):
    return build_data(Fixed(rows=list(records)), DataSettings(**settings), folder, against)


def test_the_report_tells_files_shares_pairs_and_verdict(tmp_path):
    report = build_fixed(
        tmp_path / "split",
        against=[DocumentSet("gsm8k", "task", make_documents([make_record(900)]))],
    )
    assert json.loads((tmp_path / "split/validation_report.json").read_text("utf-8")) == report
    assert report["schema_version"] == 1
    assert report["verdict"] == "clean"
    split = read_split(tmp_path / "split")
    for name, part in split.parts().items():
        assert report["files"][f"{name}.jsonl"]["rows"] == len(part)
        assert report["sets"][name] == {
            "role": "train" if name.startswith("train") else name, "rows": len(part),
        }  # fmt: skip
    assert report["sets"]["train_student.rationale"]["rows"] == len(split.train_student)
    assert set(report["stratification"]["shares"]) == {"t0", "t1"}
    assert report["stratification"]["within"] == (report["stratification"]["worst"] <= 0.01)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["split"]


def test_the_halves_share_no_reading_by_any_tokenizer(tmp_path):
    build_fixed(tmp_path / "split")
    split = read_split(tmp_path / "split")
    style = Style(templates={"d": {"prompt": "{question}", "answer": " {answer}"}})
    tokeniser = Tokeniser(make_byte_level_tokenizer(), "student.tokenizer")
    teachers, student = (
        {
            tuple(read.ids[~read.answer].tolist())
            for read in tokeniser([text for each in half for text in style.render(each)])
        }
        for half in (split.train_teachers, split.train_student)
    )
    assert len(teachers) == len(split.train_teachers)
    assert not teachers & student


def test_duplicates_are_dropped_and_counted(tmp_path):
    twice = [
        *RECORDS,
        *(make_record(n, id=f"again{n}", question=f"{RECORDS[n].question} !") for n in range(9)),
    ]
    report = build_fixed(tmp_path / "split", twice)
    assert report["dropped"]["duplicates"] == 9
    assert read_split(tmp_path / "split") == build_and_read(tmp_path, RECORDS)


def build_and_read(tmp_path, records):
    build_fixed(tmp_path / "other", records)
    return read_split(tmp_path / "other")


def test_near_copies_are_dropped_from_the_part_nearer_to_training(tmp_path):
    names = [f"{a}{b}" for a in ("ann", "bob", "cy", "dee") for b in ("son", "ley", "ton")]
    near = [make_record(1000 + n, question=LONG.format(name)) for n, name in enumerate(names)]
    report = build_fixed(tmp_path / "drop", [*RECORDS, *near], leakage=Leakage(near="drop"))
    kept = {each.id for part in read_split(tmp_path / "drop").parts().values() for each in part}
    reported = build_fixed(tmp_path / "report", [*RECORDS, *near], leakage=Leakage(near="report"))
    whole = {each.id for part in read_split(tmp_path / "report").parts().values() for each in part}
    assert sum(report["dropped"]["near_copies"].values()) == len(whole) - len(kept) > 0
    assert set(whole - kept) < {each.id for each in near}
    last = read_split(tmp_path / "report").test or read_split(tmp_path / "report").val
    assert {each.id for each in last} <= kept
    assert any(pair["verdict"] == "reported" for pair in reported["pairs"])
    with pytest.raises(LeakError, match="data leaks"):
        build_fixed(tmp_path / "refuse", [*RECORDS, *near], leakage=Leakage(near="refuse"))


TEMPLATE = "小明在学校的商店里有{}个苹果, 后来又买了{}个新鲜的红苹果, 请问他现在一共有多少个苹果?"


def make_templated_records(templated, others):
    """Rows of one Chinese template with numbers that many share, among rows of other words."""
    draw = random.Random(1)
    signs = [chr(code) for code in range(0x4E00, 0x5E00)]
    texts = [TEMPLATE.format(draw.randint(10, 400), draw.randint(2, 11)) for _ in range(templated)]
    texts += ["".join(draw.choices(signs, k=30)) for _ in range(others)]
    return [make_record(number, question=text) for number, text in enumerate(texts)]


def list_hits(report, method):
    return [
        pair["hits"]
        for pair in report["pairs"]
        if pair["method"] == method and pair["first"] != pair["second"]
    ]


@pytest.mark.integration
def test_dropping_near_copies_leaves_none_that_is_then_refused(tmp_path):
    report = build_fixed(tmp_path / "split", make_templated_records(150, 150))
    assert not any(list_hits(report, "ngram"))
    assert sum(report["dropped"]["near_copies"].values()) > 20
    # As it lies on disk, with the sets of a run that are parts of its parts.
    split = read_split(tmp_path / "split")
    parts = [
        DocumentSet("calibration", "calibration", make_documents(split.train_teachers[::3])),
        DocumentSet("own", "drawn", make_documents(split.test[::2])),
    ]
    again = check_split(tmp_path / "split", DataSettings(), parts)
    assert not any(list_hits(again, "ngram"))


def test_rows_that_are_all_near_copies_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(ConfigError, match=r"empty at .* dropped as near copies .*near=report"):
        build_fixed(tmp_path / "split", make_templated_records(300, 0))


@pytest.mark.parametrize("hide", [str, str.upper, "Please: {} Thanks a lot for that one.".format])
def test_an_evaluation_item_in_the_data_refuses_and_writes_nothing(tmp_path, hide):
    item = make_record(5000, question=LONG.format("Ann"), id="item")
    task = DocumentSet("gsm8k", "task", make_documents([item]))
    planted = make_record(5001, question=hide(item.question), id="planted")
    with pytest.raises(LeakError, match=r"data leaks.*'planted' and 'item'") as caught:
        build_fixed(tmp_path / "split", [*RECORDS, planted], [task])
    assert caught.value.report["verdict"] == "leak"
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_item_in_a_rationale_refuses(tmp_path):
    student_record = Splitting()(RECORDS).train_student[0]
    task = DocumentSet(
        "gsm8k", "task", make_documents([make_record(5000, question=LONG.format("Ann"))])
    )
    hidden = make_record(
        int(student_record.id[1:]), rationale=f"As in: {LONG.format('Ann')} we add."
    )
    with pytest.raises(LeakError, match=r"train_student\.rationale and gsm8k"):
        build_fixed(
            tmp_path / "split", [*(e for e in RECORDS if e.id != student_record.id), hidden], [task]
        )


def test_validate_passes_a_good_split_and_refuses_a_tampered_one(tmp_path):
    build_fixed(tmp_path / "split")
    files = {path.name: path.read_bytes() for path in (tmp_path / "split").iterdir()}
    assert check_split(tmp_path / "split", DataSettings())["verdict"] == "clean"
    split = read_split(tmp_path / "split")
    moved = make_record(7000, question=split.test[0].question.upper(), id="moved")
    split.train_student.append(moved)
    write_split(split, tmp_path / "split")
    with pytest.raises(LeakError, match=r"train_student and test share 1 \(exact\).*'moved'"):
        check_split(tmp_path / "split", DataSettings())
    after = {path.name: path.read_bytes() for path in (tmp_path / "split").iterdir()}
    assert {name for name in files if files[name] != after[name]} == {"train_student.jsonl"}


def test_validate_refuses_a_folder_that_is_no_split(tmp_path):
    with pytest.raises(ArtifactError, match="not a split"):
        check_split(tmp_path, DataSettings())


def test_shared_halves_are_one_set_by_choice_and_a_leak_otherwise(tmp_path):
    shared = DataSettings(split=Splitting(teacher_separate=False))
    report = build_data(Fixed(rows=RECORDS), shared, tmp_path / "split")
    assert "train" in report["sets"]
    assert check_split(tmp_path / "split", shared)["verdict"] == "clean"
    with pytest.raises(LeakError, match="train_teachers and train_student share"):
        check_split(tmp_path / "split", DataSettings())


def test_an_empty_part_leaves_nothing_on_disk(tmp_path):
    with pytest.raises(ConfigError, match="empty"):
        build_fixed(tmp_path / "split", RECORDS[:2])
    assert list(tmp_path.iterdir()) == []


def test_the_same_source_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        build_fixed(tmp_path / name)
    for path in (tmp_path / "a").glob("*.jsonl"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_conflicting_answers_are_counted_and_what_was_read_is_in_the_report(tmp_path):
    other = make_record(1000, question=f"{RECORDS[3].question} !", answer="another")

    class Read(Fixed):
        def read_records(self):
            tally = RowTally(rows=402)
            tally.left_out["missing"] += 1
            return Reading(self.rows, {"mine": tally})

    source = Read(rows=[*RECORDS, other])
    report = build_data(source, DataSettings(), tmp_path / "split")
    assert report["dropped"]["duplicates"] == 0
    assert report["dropped"]["conflicts"] == {
        "rule": "drop", "questions": 1, "records": 2, "shown": [{"r3": "3", "r1000": "another"}],
    }  # fmt: skip
    assert report["read"]["mine"]["left_out"] == {"missing": 1}
    kept = {each.id for part in read_split(tmp_path / "split").parts().values() for each in part}
    assert kept == {each.id for each in RECORDS} - {"r3"}
