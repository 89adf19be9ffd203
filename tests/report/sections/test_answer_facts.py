"""What the page says of answers that teachers wrote."""

from pathlib import Path
from typing import Any

from kvdistill.report.sections.answer_facts import describe_facts, list_answer_facts
from kvdistill.stats.study import Run, Study


def make_run(choice: str, **answers: dict[str, Any]) -> Run:
    ledger = {"answers": answers} if answers else {}
    config = {"teachers": {"a": {"name": "7B"}}, "data": {"answers": choice}}
    return Run(
        identity="r", folder=Path("r"), arm="x", seed=1, trained=True, config=config,
        manifest={"ledger": ledger},
    )  # fmt: skip


FACTS = {
    "artifact": "answers-1", "answers": 1200, "right_share": 0.625, "mean_tokens": 31.25,
    "cut": 12, "empty": 1, "trained_on": 750, "flops": 2_300_000_000_000,
}  # fmt: skip


def test_a_line_says_how_many_are_right_how_long_they_are_and_what_is_trained_on() -> None:
    run = make_run("right_teacher", a=FACTS)
    line = (
        "1,200 written (answers-1), 62.5% right, 31.2 tokens in the mean, 12 cut off and 1 empty, "
        "2.3e+12 FLOPs to write; 750 are trained on (data.answers=right_teacher)"
    )
    assert describe_facts(run, FACTS) == line


def test_runs_of_several_seeds_share_a_line_and_gold_answers_have_none() -> None:
    taught = [make_run("teacher", a=FACTS) for _ in range(2)]
    runs = dict(enumerate([*taught, make_run("gold")]))
    by_name = {str(number): run for number, run in runs.items()}
    study = Study(name="s", folders=[], tasks=[], questions={}, runs=by_name, references={})
    ((name, text),) = list_answer_facts(study)
    assert name == "answers of 7B"
    assert text == describe_facts(taught[0], FACTS)
