"""Claims beside the runs: written before training, kept when edited, never added afterwards."""

from pathlib import Path

import pytest

from kvdistill.errors import ConfigError
from kvdistill.history import read_history
from kvdistill.plan.command_plan import Plan, PlannedRun
from kvdistill.plan.graph import Node
from kvdistill.plan.study_plan import Question
from kvdistill.stats import preregistration
from kvdistill.stats.hypotheses import hash_claim

F = {"name": "F", "arm": "a", "baseline": "b", "at_least": 3.0}
EDITED = F | {"at_least": 1.0}
ALWAYS = {"name": "G", "arm": "a", "at_least": 50.0, "level": "ideal"}


def make_plan(root: Path, *claims):
    run = PlannedRun(Node("run", "seed0-abc", {}, {}), {}, "r", 1)
    question = Question("?", {"hypotheses": list(claims)}, {"a": {"0": "abc"}})
    stats = {"hypotheses": [], "criteria": [ALWAYS]}
    return Plan(root, "s", {"abc": run}, questions={"q": question}, config={"stats": stats})


def read_digests(folder):
    return {
        one["sha256"] for one in preregistration.read_registration(folder)["hypotheses"]["claims"]
    }


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "seed0-abc"


def register_for_run(folder, *claims):
    preregistration.register_claims(make_plan(folder.parent, *claims), {"seed0-abc": folder})


def test_a_run_holds_the_claims_of_its_question_and_those_of_every_study(folder):
    register_for_run(folder, F)
    assert read_digests(folder) == {hash_claim(F), hash_claim(ALWAYS)}
    before = (folder / preregistration.FILE_NAME).read_bytes()
    register_for_run(folder, F)
    assert (folder / preregistration.FILE_NAME).read_bytes() == before


def test_an_edit_before_training_is_added_and_what_was_said_stays(folder):
    register_for_run(folder, F)
    register_for_run(folder, EDITED)
    assert read_digests(folder) == {hash_claim(F), hash_claim(EDITED), hash_claim(ALWAYS)}


@pytest.mark.parametrize("trace", [*preregistration.TRAINING_TRACES, "manifest.json"])
def test_nothing_is_added_once_a_run_has_started(folder, trace):
    register_for_run(folder, F)
    (folder / trace).write_text("")
    register_for_run(folder, EDITED)
    assert read_digests(folder) == {hash_claim(F), hash_claim(ALWAYS)}


def test_a_claim_that_cannot_be_judged_is_refused_by_its_file(folder):
    with pytest.raises(ConfigError, match=r"sweeps/q.yaml: hypotheses.atleast is no key"):
        register_for_run(folder, {"name": "F", "arm": "a", "atleast": 3})
    assert not folder.exists()


def test_the_record_of_the_root_holds_each_claim_once_with_the_runs_that_hold_it(folder):
    register_for_run(folder, F)
    register_for_run(folder, F)
    register_for_run(folder, EDITED)
    first, second = read_history(folder.parent).events
    registration = preregistration.read_registration(folder)["hypotheses"]
    assert registration["event"] == second.sha256
    assert [claim["name"] for claim in first.facts["claims"]] == ["G", "F"]
    (group,) = first.facts["groups"]
    assert group == {"claims": sorted([hash_claim(ALWAYS), hash_claim(F)]), "runs": ["abc"]}


def test_other_words_before_training_stand_beside_the_first(folder):
    register_for_run(folder, F)
    register_for_run(folder, F | {"text": "It wins"})
    claims = preregistration.read_registration(folder)["hypotheses"]["claims"]
    assert [(one["name"], one.get("text")) for one in claims] == [
        ("G", None), ("F", None), ("F", "It wins"),
    ]  # fmt: skip


def test_an_artefact_has_none(tmp_path):
    assert preregistration.read_registration(tmp_path) == {}
