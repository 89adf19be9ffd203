"""Names in claims: a slip is refused when the study is planned, with the nearest name."""

from dataclasses import replace
from pathlib import Path

import pytest

from kvdistill.errors import ConfigError
from kvdistill.evaluate.suite import Suite, list_own_tasks
from kvdistill.plan.command_plan import Plan, PlannedRun
from kvdistill.plan.graph import Node
from kvdistill.plan.study_plan import Question
from kvdistill.plan.sweep import read_sweep
from kvdistill.stats.claims import names
from kvdistill.stats.claims.known_names import KnownNames, list_ambiguous
from kvdistill.stats.claims.names import FIGURE_KINDS
from kvdistill.stats.hypotheses import Claim, parse_claim

SWEEPS = Path(__file__).parents[3] / "sweeps"
TWO = {"trained": True, "teachers": {"a": {"name": "one"}, "b": {"name": "other"}}}
ONE = {"trained": True, "teachers": {"a": {"name": "one"}}}
SFT = {"trained": True, "teachers": {}}
RAW = {"trained": False, "teachers": {}}
SUITE = Suite(name="s", tasks=["nano_logic", "nano_exam"], beside=["test_questions"])
KNOWN = KnownNames(
    {"learnable": TWO, "fixed": TWO, "single": ONE, "sft": SFT, "raw": RAW, "before": None},
    {"one", "other"},
    SUITE,
)


def check(**changes) -> None:
    node = {"name": "F", "arm": "learnable", "baseline": "fixed", "at_least": 1.0, **changes}
    names.check_claim(parse_claim(node), KNOWN, "here")


def test_a_claim_of_no_question_names_an_arm_that_all_questions_share() -> None:
    questions = {
        "tuned": Question("a", arms={"base": {"1": "x", "2": "y"}, "kv": {"1": "k"}}),
        "plain": Question("b", arms={"base": {"2": "other"}, "kv": {"1": "k", "3": "m"}}),
    }
    known = replace(KNOWN, ambiguous=list_ambiguous(questions))
    assert known.ambiguous == {"base": ["tuned", "plain"]}
    claim = parse_claim({"name": "F", "arm": "kv", "baseline": "base", "at_least": 1.0})
    with pytest.raises(ConfigError, match=r"^stats\.baseline=base is another arm .* tuned, plain"):
        names.check_unambiguous(claim, known, "stats")
    names.check_unambiguous(replace(claim, baseline="kv"), known, "stats")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"arm": "learnabel"}, r"^here\.arm=learnabel is no arm .* Did you mean learnable\?"),
        ({"baseline": "fixd"}, r"^here\.baseline=fixd is no arm .* Did you mean fixed\?"),
        ({"baseline": "teacher onne"}, r"Did you mean teacher one\?"),
        ({"arm": "zzz"}, r"Choose one of learnable, fixed, single"),
        ({"measure": "marco"}, r"^here\.measure=marco is no task .* Did you mean macro\?"),
        ({"measure": "nano_logik"}, r"Did you mean nano_logic\?"),
        ({"measure": "routng"}, r"Did you mean routing\?"),
        ({"measure": "efficiency.trains_s"}, r"Did you mean efficiency\.train_s\?"),
        ({"measure": "test_questions"}, r"outside the macro average"),
        ({"measure": "std", "baseline": None}, r"compares two arms\. Give the claim a baseline"),
        ({"baseline": "learnable"}, r"is the arm itself"),
        ({"measure": "kv", "baseline": "sft"}, r"sft reads no teacher, so it has no KV loss"),
        ({"measure": "ce", "baseline": "raw"}, r"raw is not trained"),
    ],
)
def test_what_no_run_can_have_is_refused_with_the_way_out(changes, says) -> None:
    with pytest.raises(ConfigError, match=says):
        check(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"measure": "macro"},
        {"measure": "nano_exam"},
        {"measure": "gsm8k"},  # a task of another suite: pending here, judged at another scale
        {"measure": "tasks_improved"},
        {"measure": "efficiency.train_s"},
        {"measure": "kv", "baseline": "single"},
        {"measure": "ce", "baseline": "sft"},
        {"measure": "kv", "baseline": "before"},  # only on disk: what it has is not known
        {"measure": "routing", "baseline": None, "at_most": 0.05, "at_least": None},
        {"baseline": "teacher one"},
        {"baseline": None},
    ],
)
def test_what_can_be_judged_is_taken(changes) -> None:
    check(**changes)


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ({"arm": "learned"}, r"primary\.arm=learned is no arm of this question\. Did you mean le"),
        ({"arm": "fixed", "than": "sft"}, r"must map arm and baseline"),
        ("fixed", r"must map arm and baseline"),
    ],
)
def test_a_primary_endpoint_is_two_arms_of_its_question(node, says) -> None:
    with pytest.raises(ConfigError, match=says):
        names.check_primary(node, ["learnable", "fixed"], "sweeps/q.yaml")


def test_a_figure_is_one_that_the_report_draws() -> None:
    from kvdistill.report.sections.ablations import PAINTERS

    assert set(PAINTERS) == set(FIGURE_KINDS)
    with pytest.raises(ConfigError, match=r"figure=spraed is none\. Did you mean spread\?"):
        names.check_figure("spraed", "sweeps/q.yaml")


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_question_uses_known_names(path) -> None:
    if path.stem == "everything":
        return  # lists the others
    sweep = read_sweep(path.stem, SWEEPS)
    labels = [label for _, label, _ in sweep.runs()]
    known = KnownNames(dict.fromkeys(labels), set(), SUITE)
    judged = sweep.judged
    for node in [*judged.get("hypotheses", ()), *judged.get("criteria", ())]:
        claim = parse_claim(node)
        of_teacher = str(claim.baseline).startswith("the teacher of ")
        names.check_claim(
            Claim(**{**node, "baseline": None if of_teacher else claim.baseline}), known, path.stem
        )
    names.check_primary(judged.get("primary"), labels, path.stem)
    names.check_figure(judged.get("figure"), path.stem)


def test_the_projects_own_tasks_are_its_task_files() -> None:
    assert {"gsm8k", "truthfulqa_mc2", "nano_exam"} <= set(list_own_tasks())
    assert not any(name.startswith("_") for name in list_own_tasks())


def test_what_only_this_command_does_not_decide_is_said() -> None:
    """A sweep's claims hold at every scale: one may score other tasks, or have one teacher."""
    claims = [
        {"name": "G", "arm": "single", "measure": "gsm8k", "at_least": 75.0},
        {"name": "R", "arm": "single", "measure": "routing", "at_most": 0.05},
        {"name": "T", "arm": "single", "baseline": "teacher one", "at_least": -5.0},
    ]
    tasks = {"name": "s", "tasks": ["nano_logic"]}
    config = {**ONE, "tasks": tasks, "stats": {}}
    run = PlannedRun(Node("run", "seed42-a", {}, {}), config, "r", 1)
    question = Question("?", {"hypotheses": claims}, {"single": {"42": "a"}})
    plan = Plan(Path("nowhere"), "s", {"a": run}, questions={"q": question}, config=config)
    names.check_claim_names(plan)
    sentences = names.list_unjudged(plan)
    assert [s.split(":")[1].strip() for s in sentences] == [f"{n} stays pending" for n in "GRT"]
    assert "tasks=s does not score gsm8k" in sentences[0]
    assert "single reads one teacher here" in sentences[1]
    assert "Use references=true" in sentences[2]


def test_claims_of_the_stats_group_are_checked_across_the_questions() -> None:
    claim = {"name": "G", "arm": "single", "at_least": 75.0}
    tasks = {"name": "s", "tasks": ["nano_logic"]}
    config = {**ONE, "tasks": tasks, "stats": {"hypotheses": [claim]}}
    runs = {
        name: PlannedRun(Node("run", f"seed42-{name}", {}, {}), config, "r", 1) for name in "ab"
    }
    questions = {
        name: Question("?", {"hypotheses": [claim]}, {"single": {"42": name}}) for name in "ab"
    }
    plan = Plan(Path("nowhere"), "s", runs, questions=questions, config=config)
    with pytest.raises(ConfigError, match=r"^stats: hypotheses\[0\]\.arm=single is another arm"):
        names.check_claim_names(plan)
    plan.questions["b"].arms["single"] = {"42": "a"}
    names.check_claim_names(plan)
