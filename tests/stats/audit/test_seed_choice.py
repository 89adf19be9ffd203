"""Seeds that ran and are left out have a sentence, by study."""

from kvdistill.history import append_event
from kvdistill.stats.audit.seed_choice import list_dropped_seeds, list_picked_seeds
from tests.stats.audit.records import load, record_look, record_plan, write_study


def test_a_study_that_takes_some_seeds_of_another_says_which_it_leaves_out(tmp_path):
    first = write_study(tmp_path, "first")
    record_plan(first)
    record_look(first)
    append_event(tmp_path, "first", "failed", run="x", label="kv", seed=43, why="NaN", at=0)
    picked = write_study(tmp_path, "picked", (42, 44))
    record_plan(picked, (42, 44))
    assert list(list_picked_seeds(load(picked))) == [
        "sft, kv: of the seeds that ran in first, 42, 44 are taken and 43 left out "
        "(seed 43 failed: NaN)"
    ]
    assert list(list_picked_seeds(load(first))) == []


def test_the_best_of_studies_of_one_seed_each_is_picked_too(tmp_path):
    for seed in (42, 43, 44):
        record_plan(write_study(tmp_path, f"s{seed}", (seed,)), (seed,))
    picked = write_study(tmp_path, "picked", (42, 44))
    record_plan(picked, (42, 44))
    (line,) = list_picked_seeds(load(picked))
    assert (
        line == "sft, kv: of the seeds that ran in s42, s43, s44, 42, 44 are taken and 43 left out"
    )


def test_fresh_seeds_after_a_pilot_are_no_choice(tmp_path):
    record_plan(write_study(tmp_path, "pilot"))
    study = write_study(tmp_path, "confirm", (52, 53))
    record_plan(study, (52, 53))
    assert list(list_picked_seeds(load(study))) == []


def test_seeds_that_another_study_runs_later_were_not_left_out(tmp_path):
    study = write_study(tmp_path, "s", (42, 43))
    record_plan(write_study(tmp_path, "same", (42, 43)), (42, 43))
    record_plan(study, (42, 43))
    record_plan(write_study(tmp_path, "later"))
    assert list(list_picked_seeds(load(study))) == []


def test_a_seed_that_left_the_plan_is_named_unless_it_was_withdrawn(tmp_path):
    study = write_study(tmp_path, "s", (42, 44))
    record_plan(study)
    lines = list(list_dropped_seeds(load(study)))
    assert [line.partition(" were")[0] for line in lines] == ["sft: seeds 43", "kv: seeds 43"]
    runs = [f"{line}" for line in _missing_runs(study)]
    append_event(tmp_path, "s", "withdrawn", runs={"43": runs[0]}, label="sft", reason="NaN")
    append_event(tmp_path, "s", "withdrawn", runs={"43": runs[1]}, label="kv", reason="NaN")
    assert list(list_dropped_seeds(load(study))) == []


def _missing_runs(study):
    """The identities that are in the record and not in the plan."""
    loaded = load(study)
    (event,) = loaded.history.select("s", "planned")
    arms = event.facts["questions"]["q"]["arms"]
    return [arm["runs"]["43"] for arm in arms.values()]
