"""stage=data prints what became of the rows: left out, cleaned, copies, and answers that differ."""

from kvdistill.cli.data import describe_dropped_rows
from kvdistill.data.rows.tally import RowTally


def make_report(rule):
    tally = RowTally(rows=10)
    tally.left_out["no one number"] += 3
    tally.cleaned["html"] += 2
    tally.uncleaned["socratic_steps"] += 4
    tally.answers["number of a worked answer"] += 7
    conflicts = {"rule": rule, "questions": 1, "records": 2, "shown": []}
    dropped = {"duplicates": 5, "near_copies": {"train": 6}, "conflicts": conflicts, "shown": []}
    return {"read": {"school": tally.to_report()}, "dropped": dropped}


def test_every_count_is_a_line():
    read, dropped = describe_dropped_rows(make_report("drop"))
    assert read == (
        "school: left out 3 of 10 rows (30.0%); no one number 3; cleaned by html 2; answers read: "
        "number of a worked answer 7; would be changed by rules that `clean` does not name: "
        "socratic_steps 4"
    )
    assert dropped.startswith("dropped: 5 duplicates, 6 near copies; 1 questions came twice")
    assert "(2 records, none of them kept: data.split.conflicts=drop)" in dropped
    assert "the first of each kept" in list(describe_dropped_rows(make_report("first")))[1]


def test_a_report_that_refuses_the_data_says_nothing_of_rows():
    assert list(describe_dropped_rows({"verdict": "leak"})) == []
