"""What the page says of the code behind a study."""

from pathlib import Path

from kvdistill.files import read_json, write_json
from kvdistill.history import append_event
from kvdistill.report.sections.code_facts import list_code_facts
from kvdistill.stats.load import load_study
from tests.stats.fake import write_study


def test_a_study_of_unknown_code_is_named(tmp_path: Path) -> None:
    study = load_study([write_study(tmp_path, {"q": {"sft": 0.0}}, seeds=(1, 2))])
    ((name, text),) = list_code_facts(study)
    assert name == "modules"
    assert text.startswith("2 runs were made before code was recorded")


def test_what_was_accepted_and_what_was_set_aside_stand_in_the_provenance(tmp_path: Path) -> None:
    code = {"modules": {"kvdistill.train.step": "1"}}
    folder = write_study(tmp_path, {"q": {"sft": 0.0}}, seeds=(1, 2), extra={"code": code})
    plan = read_json(folder / "plan.json")
    entry = {"time": "2026", "versions": {"kvdistill.train.step": ["1", "2"]}, "runs": ["seed1-a"]}
    write_json(folder / "plan.json", plan | {"accepted_code": [entry]})
    append_event(
        tmp_path, "nano", "set_aside", name="a", modules=["kvdistill.loss.mse"], code="c",
        folder="runs/nano/set_aside/a-c",
    )  # fmt: skip
    facts = dict(list_code_facts(load_study([folder])))
    assert facts["modules"].startswith("on record for 2 of 2 finished runs; 1 sets")
    assert "other versions of train.step count as one (code=accept)" in facts["code accepted"]
    assert facts["set aside"].endswith("runs/nano/set_aside/a-c; made by other code: loss.mse")
