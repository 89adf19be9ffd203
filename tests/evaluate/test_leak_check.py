"""What data is checked against: whose items, under which ids and roles, and what refuses."""

import json

import pytest

from kvdistill.data.build import DataSettings, LeakError, build_data
from kvdistill.data.leakage import Leakage
from kvdistill.errors import UserError
from kvdistill.evaluate.harness import load_tasks
from kvdistill.evaluate.isolation import silence_lm_eval
from kvdistill.evaluate.leak_check import list_task_sets, locate_scored_rows, validate_split
from kvdistill.evaluate.suite import Suite
from tests.data.factories import make_record
from tests.data.test_build import Fixed
from tests.evaluate.tiny_models import SEVEN

LONG = "On the farm {} picks twelve baskets of plums before lunch and nine after it; how many?"


def make_recipe(*tasks, beside=(), data_root=None, shots=None, leakage=None, rows=None):
    suite = {
        "_target_": "kvdistill.evaluate.suite.Suite", "name": "t", "tasks": list(tasks),
        "beside": list(beside), "data_root": data_root,
        "shots": shots or {name: 0 for name in tasks if name == "gsm8k"},
    }  # fmt: skip
    style = {
        "_target_": "kvdistill.data.prompt_style.Style",
        "templates": {name: {"prompt": "{question}", "answer": "{answer}"} for name in "ab"},
    }
    room = "kvdistill.data"
    return {
        "data": {
            "split": {"_target_": f"{room}.split.Splitting"},
            "leakage": {"_target_": f"{room}.leakage.Leakage"} | (leakage or {}),
        },
        "tasks": suite, "style": style, "calibration_rows": rows,
    }  # fmt: skip


def write_split(folder, records, near="drop"):
    build_data(Fixed(rows=records), DataSettings(leakage=Leakage(near=near)), folder)
    return folder


NANO = [make_record(number, task="nano_arithmetic") for number in range(200)]


def read_verdicts(report, name):
    return {
        pair["first"]: pair["verdict"]
        for pair in report["pairs"]
        if pair["second"] == name and pair["method"] == "ngram"
    }


def test_a_task_drawn_from_the_test_part_is_checked_against_training_not_itself(tmp_path):
    report = validate_split(
        make_recipe("nano_arithmetic", rows=8), write_split(tmp_path / "split", NANO)
    )
    assert report["sets"]["nano_arithmetic"]["role"] == "drawn"
    assert set(read_verdicts(report, "nano_arithmetic")) == {
        "train_teachers", "train_student", "calibration", "val",
    }  # fmt: skip
    assert report["verdict"] == "clean"
    assert set(report["tasks_sha256"]) == {"nano_arithmetic"}


def test_near_copies_by_design_are_reported_and_taint_under_the_items_own_ids(tmp_path):
    names = [f"{a}{b}" for a in ("Ann", "Bob", "Cy", "Dee", "Eve") for b in ("son", "ley", "ton")]
    near = [
        make_record(900 + n, question=LONG.format(name), task="nano_arithmetic")
        for n, name in enumerate(names)
    ]
    folder = write_split(tmp_path / "split", [*NANO, *near], near="report")
    report = validate_split(
        make_recipe("nano_arithmetic", beside=["test_questions"], leakage={"near": "report"}),
        folder,
    )
    assert report["verdict"] == "clean"
    tainted = report["tainted"]["nano_arithmetic"]
    assert tainted
    assert tainted == report["tainted"]["test"]
    assert report["tainted"]["test_questions"] == [f"nano_arithmetic/{id}" for id in tainted]


def test_questions_asked_of_training_rows_on_purpose_are_all_tainted_and_never_refused(tmp_path):
    folder = write_split(tmp_path / "split", NANO)
    report = validate_split(make_recipe("nano_arithmetic", beside=["train_questions"]), folder)
    rows = (folder / "train_student.jsonl").read_text().splitlines()
    assert len(report["tainted"]["train_questions"]) == len(rows)
    assert "train_questions" not in report["sets"]


@pytest.mark.integration
def test_calibration_rows_are_those_that_calibration_reads(tmp_path):
    folder = write_split(tmp_path / "split", NANO)
    rows = len((folder / "train_teachers.jsonl").read_text().splitlines())
    # Two texts a row: 8 to fit on and 2 to judge by are every rows * 2 / 10th text.
    report = validate_split(make_recipe("nano_arithmetic", rows=8), folder)
    expected = {i * rows * 2 // 10 // 2 for i in range(10)}
    assert report["sets"]["calibration"]["rows"] == len(expected)
    assert "calibration" not in validate_split(make_recipe("nano_arithmetic"), folder)["sets"]


def write_gsm8k(root, questions, part="test"):
    folder = root / "gsm8k/main"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"question": text, "answer": "so it is\n#### 3"} for text in questions]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"{part}.jsonl").write_text(text)


@pytest.mark.integration
@pytest.mark.parametrize("hide", [str, str.upper, "Please: {} Thanks for that one.".format])
def test_a_benchmarks_item_in_training_refuses_naming_both(tmp_path, hide):
    write_gsm8k(tmp_path, [LONG.format("Ann"), "How deep is a well of nine rungs and a half?"])
    folder = write_split(tmp_path / "split", NANO)
    taught = json.loads((folder / "train_student.jsonl").read_text().splitlines()[0])
    planted = taught | {"question": hide(LONG.format("Ann")), "id": "planted"}
    with (folder / "train_student.jsonl").open("a") as file:
        file.write(json.dumps(planted) + "\n")
    with pytest.raises(LeakError, match=r"train_student and gsm8k share 1.*'planted'") as caught:
        validate_split(make_recipe("gsm8k", data_root=str(tmp_path)), folder)
    report = caught.value.report
    assert report["verdict"] == "leak"
    assert len(report["tainted"]["gsm8k"]) == 1
    assert report["tasks_sha256"]


@pytest.mark.integration
def test_a_split_checked_again_answers_with_its_report_and_the_fault(tmp_path):
    from kvdistill.evaluate.leak_check import recheck_split

    folder = write_split(tmp_path / "split", NANO)
    request = {"recipe": make_recipe("nano_arithmetic"), "split": str(folder)}
    clean = recheck_split(request)
    assert clean["fault"] == ""
    first = validate_split(request["recipe"], folder)
    # `pairs` say how long each comparison took.
    assert clean["report"] | {"pairs": []} == first | {"pairs": []}
    json.dumps(clean)  # it comes back from another process
    gsm8k = make_recipe("gsm8k", data_root=str(tmp_path))
    missing = recheck_split({"recipe": gsm8k, "split": str(folder)})
    assert missing["report"] is None
    assert "no task has data" in missing["fault"]
    row = json.loads((folder / "train_student.jsonl").read_text().splitlines()[0])
    write_gsm8k(tmp_path, [row["question"]])
    leak = recheck_split({"recipe": gsm8k, "split": str(folder)})
    assert leak["report"]["verdict"] == "leak"
    assert "train_student and gsm8k share 1" in leak["fault"]


@pytest.mark.integration
def test_worked_examples_may_be_training_rows_but_not_items(tmp_path):
    pool = [make_record(7).question, "How many legs have four geese and a cow?"]
    write_gsm8k(tmp_path, pool, "train")
    write_gsm8k(tmp_path, [LONG.format("Ann")])
    recipe = make_recipe("gsm8k", data_root=str(tmp_path), shots={"gsm8k": 2})
    report = validate_split(recipe, write_split(tmp_path / "split", NANO))
    assert report["sets"]["gsm8k.examples"] == {"role": "examples", "rows": 2}
    write_gsm8k(tmp_path, [pool[1]])
    with pytest.raises(LeakError, match=r"gsm8k\.examples and gsm8k share 1"):
        validate_split(recipe, tmp_path / "split")


def test_an_item_of_one_mould_with_an_example_is_reported_and_not_refused(tmp_path):
    write_gsm8k(tmp_path, ["Please: " + LONG.format("Ann") + " Thanks for that one."], "train")
    write_gsm8k(tmp_path, [LONG.format("Ann")])
    recipe = make_recipe("gsm8k", data_root=str(tmp_path), shots={"gsm8k": 1})
    report = validate_split(recipe, write_split(tmp_path / "split", NANO))
    (pair,) = [
        pair
        for pair in report["pairs"]
        if (pair["first"], pair["second"], pair["method"]) == ("gsm8k.examples", "gsm8k", "ngram")
    ]
    assert (pair["hits"], pair["verdict"]) == (1, "reported")
    assert report["verdict"] == "clean"


@pytest.mark.integration
def test_two_tasks_may_show_the_same_examples(tmp_path):
    write_gsm8k(tmp_path, ["How many legs have four geese and a cow?"], "train")
    write_gsm8k(tmp_path, [LONG.format("Ann")])
    recipe = make_recipe(
        "gsm8k", "gsm8k_direct", data_root=str(tmp_path), shots={"gsm8k": 1, "gsm8k_direct": 1}
    )
    assert validate_split(recipe, write_split(tmp_path / "split", NANO))["verdict"] == "clean"


def test_a_task_without_data_is_named_as_unchecked(tmp_path):
    report = validate_split(
        make_recipe("nano_arithmetic", "gsm8k", data_root=str(tmp_path)),
        write_split(tmp_path / "split", NANO),
    )
    assert list(report["missing"]) == ["gsm8k"]
    assert "gsm8k" not in report["tasks_sha256"]


def test_no_data_for_any_task_is_refused(tmp_path):
    with pytest.raises(UserError, match="no task has data"):
        validate_split(
            make_recipe("gsm8k", data_root=str(tmp_path)), write_split(tmp_path / "split", NANO)
        )


def test_every_item_of_the_seven_is_compared_with_its_options(benchmarks, tmp_path):
    suite = Suite(
        name="s", tasks=SEVEN, data_root=str(benchmarks), shots={"cmmlu": 2, "gsm8k": 3, "ceval": 0}
    )
    with silence_lm_eval():
        tasks, _ = load_tasks(suite, locate_scored_rows(tmp_path))
    sets = {documents.name: documents for documents in list_task_sets(suite, tasks)}
    assert set(sets) == {
        *SEVEN, "cmmlu.examples", "gsm8k.examples", "math500.examples", "bbh.examples",
    }  # fmt: skip
    for name in SEVEN:
        ids = [doc["id"] for doc in tasks[name].eval_docs]
        assert [document.id for document in sets[name].documents] == ids
    assert sets["cmmlu"].documents[0].text.endswith("\nA. x\nB. x\nC. x\nD. x")
    assert sets["gpqa"].documents[0].text.count("\n") == 4
    assert sets["bbh"].documents[0].text.startswith("Is it 0?")
    assert sets["truthfulqa"].documents[0].text == "What happens 0 times?"
    assert len(sets["gsm8k.examples"].documents) == 3
    assert len(sets["math500.examples"].documents) == 4
