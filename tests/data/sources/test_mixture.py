"""A mixture from local copies in place of the hub: shares, choice of rows, and refusals."""

import json
import logging

import pytest

from kvdistill.data.sources.mixture import Mixture
from kvdistill.errors import ArtifactError, ConfigError
from kvdistill.files import sha256
from tests.data.factories import make_record

PART = {
    "hub": "someone/something",
    "split": "train",
    "columns": {"question": "question", "rationale": "rationale", "answer": "answer"},
    "task": "sums",
    "weight": 1.0,
    "licence": "MIT",
}


def write_copy(root, name, rows):
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "train.jsonl").write_text(text, encoding="utf-8")


def make_source_rows(start, count):
    return [
        {"question": each.question, "rationale": each.rationale, "answer": each.answer}
        for each in (make_record(number) for number in range(start, start + count))
    ]


def make_mixture(root, row_count, **parts):
    parts_given = {name: PART | values for name, values in parts.items()}
    return Mixture(parts=parts_given, rows=row_count, root=str(root))


def test_each_part_gives_its_share_in_its_own_order(tmp_path):
    write_copy(tmp_path, "one", make_source_rows(0, 60))
    write_copy(tmp_path, "two", make_source_rows(100, 60))
    records = make_mixture(tmp_path, 40, one={}, two={"weight": 3.0, "task": "more"}).records()
    assert [each.source for each in records] == ["one"] * 10 + ["two"] * 30
    assert [each.task for each in records] == ["sums"] * 10 + ["more"] * 30
    numbers = [int(each.answer) for each in records]
    assert numbers[:10] == sorted(numbers[:10])
    assert numbers[10:] == sorted(numbers[10:])


def test_a_grown_part_changes_no_other_and_drops_only_for_new_rows(tmp_path):
    write_copy(tmp_path, "one", make_source_rows(0, 60))
    before = {each.question for each in make_mixture(tmp_path, 30, one={}).records()}
    write_copy(tmp_path, "one", make_source_rows(0, 70)[::-1])
    after = {each.question for each in make_mixture(tmp_path, 30, one={}).records()}
    fresh = {row["question"] for row in make_source_rows(60, 10)}
    assert len(before - after) == len(after - before) <= 10
    assert after - before <= fresh


def test_an_edited_copy_is_read_anew(tmp_path):
    write_copy(tmp_path / "a", "one", make_source_rows(0, 9))
    write_copy(tmp_path / "b", "one", make_source_rows(50, 9))
    first, second = (make_mixture(tmp_path / side, 9, one={}).records() for side in "ab")
    assert not {each.question for each in first} & {each.question for each in second}


def test_a_copy_edited_after_planning_is_refused(tmp_path):
    write_copy(tmp_path, "one", make_source_rows(0, 9))
    planned = Mixture(parts={"one": PART}, rows=9, root=str(tmp_path), sha256=sha256(tmp_path))
    assert len(planned.records()) == 9
    write_copy(tmp_path, "one", make_source_rows(50, 9))
    with pytest.raises(ArtifactError, match="changed since the run was planned"):
        planned.records()


def test_duplicates_count_once(tmp_path):
    write_copy(tmp_path, "one", make_source_rows(0, 10) * 3)
    assert len(make_mixture(tmp_path, 10, one={}).records()) == 10
    with pytest.raises(ConfigError, match=r"parts\.one has 10 distinct questions.*asks for 11"):
        make_mixture(tmp_path, 11, one={}).records()


def test_incomplete_rows_refuse_or_are_left_out_and_counted(tmp_path, caplog):
    write_copy(
        tmp_path, "one", [*make_source_rows(0, 5), make_source_rows(9, 1)[0] | {"answer": ""}]
    )
    with pytest.raises(ConfigError, match=r"parts\.one.* row 6, field answer: empty"):
        make_mixture(tmp_path, 5, one={}).records()
    with caplog.at_level(logging.WARNING):
        assert len(make_mixture(tmp_path, 5, one={"skip_incomplete": True}).records()) == 5
    assert "left out 1 of 6 rows" in caplog.text


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("gone", {}, r"parts\.gone: .*gone cannot be read"),
        ("one", {"split": "test"}, r"parts\.one: .*cannot be read"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, name, values, message):
    write_copy(tmp_path, "one", make_source_rows(0, 5))
    with pytest.raises(ConfigError, match=message) as caught:
        make_mixture(tmp_path, 5, **{name: values}).records()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("named", ["{outside}", "../../outside.jsonl"])
def test_a_copy_reads_nothing_from_outside_of_it(tmp_path, named):
    outside = tmp_path / "outside.jsonl"
    outside.write_text("".join(json.dumps(row) + "\n" for row in make_source_rows(0, 9)))
    write_copy(tmp_path / "copies", "one", make_source_rows(50, 9))
    card = f"---\nconfigs:\n- config_name: default\n  data_files: {named}\n---\n"
    (tmp_path / "copies/one/README.md").write_text(card.format(outside=outside))
    with pytest.raises(ConfigError, match=r"^data\.root: .*one asks for .*outside\.jsonl, which"):
        make_mixture(tmp_path / "copies", 5, one={}).records()


def test_a_copy_may_be_a_link(tmp_path):
    write_copy(tmp_path / "true", "one", make_source_rows(0, 9))
    (tmp_path / "link").symlink_to("true")
    assert len(make_mixture(tmp_path / "link", 9, one={}).records()) == 9


def test_an_empty_split_is_named(tmp_path):
    write_copy(tmp_path, "one", [])
    with pytest.raises(ConfigError, match=r"parts\.one"):
        make_mixture(tmp_path, 5, one={}).records()


@pytest.mark.parametrize(
    ("parts", "row_count", "message"),
    [
        ({}, 5, r"data\.source\.parts is empty"),
        ({"one": PART}, 0, r"data\.source\.rows must be at least 1, got 0"),
        ({"one": PART | {"wieght": 1}}, 5, r"parts\.one\.wieght is not known"),
        ({"one": PART | {"weight": 0.0}}, 5, r"parts\.one\.weight must be above 0"),
        ({"one": {"hub": "x"}}, 5, r"parts\.one\.columns is missing"),
    ],
)
def test_a_broken_mixture_is_refused(parts, row_count, message):
    with pytest.raises(ConfigError, match=message):
        Mixture(parts=parts, rows=row_count)


def test_a_question_with_two_answers_comes_with_both_and_counts_once(tmp_path):
    rows = make_source_rows(0, 6)
    write_copy(tmp_path, "one", [*rows, rows[2] | {"answer": "another"}, rows[3]])
    reading = make_mixture(tmp_path, 6, one={}).read_records()
    answers = [each.answer for each in reading.records if each.question == rows[2]["question"]]
    assert answers == [rows[2]["answer"], "another"]
    assert len(reading.records) == 7
    assert reading.tallies["one"].to_report()["rows"] == 8


def test_a_part_cleans_its_texts_and_reads_its_answers(tmp_path):
    rows = [
        {"question": f"q{n} a{n * n}?", "rationale": f"<<{n}={n}>>{n}", "answer": f"So it is {n}."}
        for n in range(5)
    ]
    rows[4]["answer"] = "3 hours and 20 minutes"
    write_copy(tmp_path, "one", rows)
    part = {"clean": ["calculator_marks"], "answers": "number", "skip_incomplete": True}
    reading = make_mixture(tmp_path, 4, one=part).read_records()
    assert [(each.rationale, each.answer) for each in reading.records] == [
        (str(n), str(n)) for n in range(4)
    ]
    report = reading.tallies["one"].to_report()
    assert report["left_out"] == {"no one number": 1}
    assert report["left_out_share"] == 0.2
    assert report["cleaned"] == {"calculator_marks": 4}


def test_a_rule_or_kind_that_is_none_is_refused_before_any_file_is_opened(tmp_path):
    with pytest.raises(ConfigError, match=r"^data\.source\.parts\.one\.clean: 'marks' is no rule"):
        make_mixture(tmp_path, 4, one={"clean": ["marks"]})
    with pytest.raises(ConfigError, match=r"^data\.source\.parts\.one\.answers='list' must be"):
        make_mixture(tmp_path, 4, one={"answers": "list"})
