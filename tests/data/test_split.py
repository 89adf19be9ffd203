"""The part of a record depends on its question alone; shares, halves, refusals, and the disk."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvdistill.data.split import (
    SPLIT_PARTS,
    Splitting,
    measure_task_shares,
    read_split,
    write_split,
)
from kvdistill.errors import ArtifactError, ConfigError
from tests.data.factories import make_record

RECORDS = [make_record(number, task=f"t{number % 7}") for number in range(700)]


def make_split(records, **values):
    return Splitting(**values)(records)


def parts_by_id(split):
    return {each.id: name for name, part in split.parts().items() for each in part}


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 300))
def test_insertion_permutation_and_duplication_move_no_record(draw, count):
    before = parts_by_id(make_split(RECORDS[:400]))
    extra = draw.sample(RECORDS[400:], count)
    copies = [
        make_record(10_000 + place, question=each.question.upper() + " !", id=f"copy-{each.id}")
        for place, each in enumerate(draw.sample(RECORDS[:400], 20))
    ]
    mixed = RECORDS[:400] + extra + copies
    draw.shuffle(mixed)
    after = parts_by_id(make_split(mixed))
    assert {id: after[id] for id in before} == before
    assert all(after[each.id] == before[each.id.removeprefix("copy-")] for each in copies)


def test_every_record_is_in_exactly_one_part():
    split = make_split(RECORDS)
    ids = [each.id for part in split.parts().values() for each in part]
    assert sorted(ids) == sorted(each.id for each in RECORDS)


def test_both_styles_of_a_question_stay_together():
    twins = [make_record(number, id=f"{number}-{twin}") for number in range(300) for twin in "ab"]
    for part in make_split(twins).parts().values():
        ids = {each.id for each in part}
        assert all(f"{id.split('-')[0]}-{twin}" in ids for id in ids for twin in "ab")


def test_shares_are_within_one_percent_at_15000_rows_a_task():
    rows = [make_record(number, task=f"t{number % 2}") for number in range(30_000)]
    split = make_split(rows)
    for task in measure_task_shares(split).values():
        assert task == pytest.approx({"train": 0.70, "val": 0.15, "test": 0.15}, abs=0.01)
    train = len(split.train_teachers) + len(split.train_student)
    assert len(split.train_student) / train == pytest.approx(0.5, abs=0.01)


def test_the_salt_is_another_draw_and_the_same_salt_the_same():
    assert parts_by_id(make_split(RECORDS)) == parts_by_id(make_split(RECORDS))
    assert parts_by_id(make_split(RECORDS)) != parts_by_id(make_split(RECORDS, salt="other"))


def test_ratios_move_only_what_lies_between_them():
    before, after = (
        parts_by_id(make_split(RECORDS)),
        parts_by_id(make_split(RECORDS, ratios=(0.8, 0.1, 0.1))),
    )
    kept = [id for id, place in before.items() if place.startswith("train")]
    assert {id: after[id] for id in kept} == {id: before[id] for id in kept}


def test_one_train_for_both_where_the_halves_are_not_separate():
    split = make_split(RECORDS, teacher_separate=False)
    halves = make_split(RECORDS)
    assert split.train_teachers == split.train_student
    assert len(split.train_student) == len(halves.train_teachers) + len(halves.train_student)
    assert measure_task_shares(split) == measure_task_shares(halves)


def test_the_students_half_is_capped_by_hash():
    whole = make_split(RECORDS).train_student
    capped = Splitting(max_student_rows=50)(RECORDS).train_student
    shuffled = random.Random(0).sample(RECORDS, len(RECORDS))
    again = Splitting(max_student_rows=50)(shuffled).train_student
    assert len(capped) == 50
    assert [each for each in whole if each in capped] == capped
    assert {each.id for each in capped} == {each.id for each in again}


def test_a_split_is_read_as_it_was_written(tmp_path):
    split = make_split([*RECORDS, make_record(9000, question='\u4e2d\u6587\u2028\x85 "q"?\n{}')])
    write_split(split, tmp_path)
    assert read_split(tmp_path) == split
    assert "\u4e2d\u6587" in "".join(path.read_text("utf-8") for path in tmp_path.iterdir())
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(SPLIT_PARTS)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"id": 1}', "row 2 is not a record"),
        (b"{", "row 2 is not JSON"),
        (b'"\xff"', "row 2 is not JSON in UTF-8"),
    ],
)
def test_a_damaged_split_is_named_by_file_and_row(tmp_path, line, message):
    write_split(make_split(RECORDS), tmp_path)
    lines = (tmp_path / "val.jsonl").read_bytes().split(b"\n")
    (tmp_path / "val.jsonl").write_bytes(b"\n".join([lines[0], line, *lines[2:]]))
    with pytest.raises(ArtifactError, match=rf"val\.jsonl {message}"):
        read_split(tmp_path)


def test_a_file_without_a_last_newline_loses_no_row(tmp_path):
    write_split(make_split(RECORDS), tmp_path)
    path = tmp_path / "test.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert read_split(tmp_path) == make_split(RECORDS)


def test_a_missing_part_is_named(tmp_path):
    write_split(make_split(RECORDS), tmp_path)
    (tmp_path / "test.jsonl").unlink()
    with pytest.raises(ArtifactError, match=r"test\.jsonl is missing"):
        read_split(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ratios": (0.7, 0.2, 0.2)}, r"data\.split\.ratios must sum to 1.*1\.1"),
        ({"ratios": (0.7, 0.3)}, "three shares"),
        ({"ratios": (1.0, 0.0, 0.0)}, "three shares above 0"),
        ({"max_student_rows": 0}, r"max_student_rows must be at least 1.*0"),
    ],
)
def test_bad_settings_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        Splitting(**values)


def test_an_empty_part_is_refused_with_the_counts():
    with pytest.raises(ConfigError, match=r"leaves \w+ empty.*'val': \d"):
        make_split(RECORDS[:2])


def test_an_id_used_twice_is_refused():
    with pytest.raises(ConfigError, match="gives the id 'r1' to more than one record"):
        make_split([*RECORDS, make_record(1, question="another?")])


def test_records_are_json_without_escapes(tmp_path):
    write_split(make_split(RECORDS), tmp_path)
    first = json.loads((tmp_path / "test.jsonl").read_text("utf-8").splitlines()[0])
    assert set(first) == {"id", "source", "task", "question", "rationale", "answer"}
