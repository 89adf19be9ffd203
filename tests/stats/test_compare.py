"""Two arms on disk: pairing proven or refused, every case of missing information by name."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kvdistill.errors import ArtifactError
from kvdistill.stats.analysis import analyse
from kvdistill.stats.compare import UNPAIRED, compare
from kvdistill.stats.load import load, long_table
from kvdistill.stats.seed_tests import DEGENERATE, IDENTICAL, MISSING, OK, SINGLE, stars
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import MACRO, Arm
from kvdistill.stats.summary import cell, summary
from tests.stats import fake

SETTINGS = Settings(resamples=999)
TWO = {"one": 40, "two": 60}


def study_of(tmp_path, arms, **more):
    more.setdefault("tasks", TWO)
    return fake.write_study(tmp_path, {"q": arms}, **more)


def compared(folder, a="b", b="a", **more):
    study = load([folder])
    arms = study.questions["q"].arms
    return compare(arms[a], arms[b], study.tasks, SETTINGS, **more)


def run_folders(folder: Path, arm: str) -> list[Path]:
    """The run folders of an arm, by seed."""
    plan = json.loads((folder / "plan.json").read_text())
    root = folder.parent.parent
    seeds = plan["questions"]["q"]["arms"][arm]
    return [root / plan["runs"][seeds[s]]["folder"] for s in sorted(seeds)]


def rewrite(run: Path, change) -> None:
    """Edits items.parquet and puts the scores of results.json in line."""
    frame = change(pd.read_parquet(run / "items.parquet"))
    frame.to_parquet(run / "items.parquet")
    results = json.loads((run / "results.json").read_text())
    for task, part in frame.groupby("task"):
        results["tasks"][task] |= {"score": float(part["correct"].mean()), "n": len(part)}
    fake.write_json(run / "results.json", results)


def test_the_estimate_is_the_difference_of_the_tables_means(tmp_path):
    folder = study_of(tmp_path, {"a": -0.3, "b": 0.3})
    one = compared(folder).macro
    (table,) = summary(folder)
    assert one.estimate == pytest.approx(
        table.rows["b"][MACRO].mean - table.rows["a"][MACRO].mean, abs=1e-12
    )
    assert one.status == OK
    assert one.item.estimate == pytest.approx(one.estimate, abs=1e-12)
    assert one.recipe.low < one.estimate < one.recipe.high
    assert one.same_sign == (3, 3)


def test_swapping_arms_mirrors_every_interval(tmp_path):
    folder = study_of(tmp_path, {"a": 0.0, "b": 0.2})
    there, back = compared(folder).macro, compared(folder, "a", "b").macro
    assert there.estimate == pytest.approx(-back.estimate, abs=1e-15)
    for name in ("seeds", "item", "recipe", "unpaired"):
        x, y = getattr(there, name), getattr(back, name)
        assert (x.low, x.high) == pytest.approx((-y.high, -y.low), abs=1e-12)
        assert x.p == pytest.approx(y.p, abs=1e-12)


def test_rows_in_another_order_are_the_same_study(tmp_path):
    folder = study_of(tmp_path, {"a": 0.0, "b": 0.2})
    before = compared(folder).macro
    for i, run in enumerate(run_folders(folder, "b")):
        rewrite(run, lambda f, i=i: f.sample(frac=1, random_state=i))
    after = compared(folder).macro
    assert (after.item.low, after.recipe.high, after.seeds.p) == pytest.approx(
        (before.item.low, before.recipe.high, before.seeds.p), abs=1e-12
    )


def test_copying_seeds_creates_no_significance(tmp_path):
    folder = study_of(tmp_path, {"a": 0.0, "b": 0.2}, seeds=(1, 2, 3))
    before = compared(folder).macro
    wide = study_of(tmp_path / "copy", {"a": 0.0, "b": 0.2}, seeds=(1, 2, 3, 11, 12, 13))
    for arm in ("a", "b"):
        originals, runs = run_folders(folder, arm), run_folders(wide, arm)
        by_seed = {int(r.name.split("-")[0].removeprefix("seed")): r for r in runs}
        for seed, source in zip((1, 2, 3), originals, strict=True):
            for target in (by_seed[seed], by_seed[seed + 10]):
                for name in ("items.parquet", "results.json"):
                    (target / name).write_bytes((source / name).read_bytes())
    after = compared(wide).macro
    assert after.seeds.n == 3
    assert after.seeds.p == pytest.approx(before.seeds.p)
    assert after.recipe == before.recipe
    assert "counted once" in " ".join(after.notes)


def test_the_raw_student_is_one_run_without_a_spread(tmp_path):
    folder = study_of(tmp_path, {"raw_student": -0.8, "b": 0.2})
    study = load([folder])
    raw = study.questions["q"].arms["raw_student"]
    assert len(raw.unique()) == 1
    assert cell(raw, MACRO, study.tasks).sd is None
    assert "\u00b1" not in cell(raw, MACRO, study.tasks).text()
    one = compared(folder, "b", "raw_student").macro
    assert one.seeds.kind == "one-sample"
    assert one.seeds.n == 3
    assert one.unpaired is None
    assert "one-sample" in one.notes[0]


def test_two_untrained_arms_are_compared_over_items_only(tmp_path):
    folder = study_of(tmp_path, {"raw_student": -0.8}, teachers={"big": 0.8})
    study = load([folder])
    run = study.references["big"]
    teacher = Arm(label="teacher big", runs={run.seed: run})
    raw = study.questions["q"].arms["raw_student"]
    found = compare(teacher, raw, study.tasks, SETTINGS)
    assert found.macro.status == SINGLE
    assert found.macro.recipe is None
    assert found.macro.claim is found.macro.item
    assert found.macro.seeds.p is None
    assert 0 <= found.differences["one"].mcnemar < 0.05
    assert found.macro.mcnemar is None


def test_the_same_answers_are_identical_and_get_no_star(tmp_path):
    folder = study_of(tmp_path, {"a": 0.0, "b": 0.0})
    for a, b in zip(run_folders(folder, "a"), run_folders(folder, "b"), strict=True):
        for name in ("items.parquet", "results.json"):
            (b / name).write_bytes((a / name).read_bytes())
    one = compared(folder).macro
    assert one.status == IDENTICAL
    assert one.estimate == 0
    assert one.recipe is None
    assert stars(one.seeds.p) == ""


def test_equal_differences_are_degenerate_and_the_items_still_speak(tmp_path):
    folder = study_of(tmp_path, {"a": 0.0, "b": 0.0})

    def one_more(frame):
        frame = frame.copy()
        for task in TWO:
            wrong = frame.index[(frame["task"] == task) & (frame["correct"] == 0)]
            frame.loc[wrong[:4], "correct"] = 1.0
        return frame

    for a, b in zip(run_folders(folder, "a"), run_folders(folder, "b"), strict=True):
        for name in ("items.parquet", "results.json"):
            (b / name).write_bytes((a / name).read_bytes())
        rewrite(b, one_more)
    one = compared(folder).macro
    assert one.status == DEGENERATE
    assert one.seeds.p is None
    assert one.recipe is None
    assert one.item.se > 0
    assert one.item.low > 0


def test_an_unfinished_seed_is_named_and_nothing_is_averaged_over_it(tmp_path):
    folder = study_of(tmp_path, {"a": 0.0, "b": 0.2}, unfinished=[("b", 44)])
    one = compared(folder).macro
    assert one.status == MISSING
    assert one.estimate is None
    assert "b: seed 44 (running)" in one.why
    (table,) = summary(folder)
    assert table.rows["b"][MACRO].mean is None
    assert len(table.rows["b"][MACRO].values) == 2
    assert table.missing == ["b: seed 44 (running)"]


def test_a_missing_task_gives_no_macro_average(tmp_path):
    folder = study_of(tmp_path, {"a": 0.0, "b": 0.2})
    run = run_folders(folder, "b")[0]
    results = json.loads((run / "results.json").read_text())
    del results["tasks"]["two"]
    fake.write_json(run / "results.json", results | {"missing": ["two"]})
    found = compared(folder)
    assert found.macro.estimate is None
    assert "no two" in found.macro.why
    assert found.differences["one"].estimate is not None


def test_a_task_that_no_run_could_score_is_missing_everywhere(tmp_path):
    folder = study_of(tmp_path, {"a": 0.0, "b": 0.2})
    for arm in ("a", "b"):
        for run in run_folders(folder, arm):
            results = json.loads((run / "results.json").read_text())
            fake.write_json(run / "results.json", results | {"missing": {"three": "no data"}})
    study = load([folder])
    assert list(study.tasks) == ["one", "two", "three"]
    assert compared(folder).macro.status == MISSING


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.iloc[:-3], "items against"),
        (lambda f: f.assign(prompt_hash=f["prompt_hash"] + "x"), "prompt of 40 items differs"),
        (lambda f: f.assign(doc_hash="x"), "document of 40 items differs"),
    ],
)
def test_arms_that_answered_other_items_are_refused_by_name(tmp_path, change, said):
    folder = study_of(tmp_path, {"a": 0.0, "b": 0.2}, tasks={"one": 40})
    rewrite(run_folders(folder, "b")[1], change)
    one = compared(folder).macro
    assert one.status == UNPAIRED
    assert said in one.why
    assert one.estimate is None


def test_disjoint_seeds_are_an_a_a_comparison_without_pairs(tmp_path):
    folder = study_of(tmp_path, {"a": 0.0, "b": 0.0})
    study = load([folder])
    arm = study.questions["q"].arms["a"]
    other = study.questions["q"].arms["b"]
    shifted = Arm(label="again", runs={seed + 100: run for seed, run in other.runs.items()})
    one = compare(shifted, arm, study.tasks, SETTINGS).macro
    assert one.seeds.kind == "welch"
    assert one.recipe is not None
    assert "unpaired over seeds" in one.notes[0]


def test_one_seed_makes_no_claim_about_seeds(tmp_path):
    one = compared(study_of(tmp_path, {"a": 0.0, "b": 0.2}, seeds=(0,))).macro
    assert one.status == SINGLE
    assert one.recipe is None
    assert one.item.low < one.estimate < one.item.high


def test_two_seeds_have_a_t_test_and_no_recipe_claim(tmp_path):
    one = compared(study_of(tmp_path, {"a": 0.0, "b": 0.2}, seeds=(0, 1))).macro
    assert one.seeds.df == 1
    assert one.recipe is None


def test_a_seed_without_counterpart_is_named(tmp_path):
    folder = study_of(tmp_path, {"a": 0.0, "b": 0.2}, seeds=(1, 2, 3, 4))
    study = load([folder])
    a, b = (study.questions["q"].arms[k] for k in "ab")
    fewer = Arm(label="a", runs={s: r for s, r in a.runs.items() if s != 4})
    one = compare(b, fewer, study.tasks, SETTINGS).macro
    assert one.seeds.n == 3
    assert "b: seeds 4 have no counterpart" in one.notes


def test_subjects_widen_the_interval(tmp_path):
    plain = compared(study_of(tmp_path / "p", {"a": 0.0, "b": 0.2}), "b", "a").macro
    folder = study_of(tmp_path / "s", {"a": 0.0, "b": 0.2}, subjects=5)
    grouped = compared(folder).macro
    study = load([folder])
    run = next(iter(study.runs.values()))
    assert set(run.scores["one"].items.subjects) == set(range(5))
    assert grouped.item.df < plain.item.df


def test_a_twice_listed_item_is_refused(tmp_path):
    folder = study_of(tmp_path, {"a": 0.0, "b": 0.2})
    rewrite(run_folders(folder, "b")[0], lambda f: pd.concat([f, f.iloc[:1]]))
    with pytest.raises(ArtifactError, match="stands there twice"):
        load([folder])


@pytest.mark.parametrize(("value", "said"), [(np.nan, "NaN"), (57.0, "percent")])
def test_an_item_without_a_share_is_refused(tmp_path, value, said):
    folder = study_of(tmp_path, {"a": 0.0})
    run = run_folders(folder, "a")[0]
    frame = pd.read_parquet(run / "items.parquet")
    frame.loc[0, "correct"] = value
    frame.to_parquet(run / "items.parquet")
    with pytest.raises(ArtifactError, match=said):
        load([folder])


def test_percent_in_the_results_are_refused(tmp_path):
    folder = study_of(tmp_path, {"a": 0.0})
    run = run_folders(folder, "a")[0]
    results = json.loads((run / "results.json").read_text())
    results["tasks"]["one"]["score"] = 57.0
    fake.write_json(run / "results.json", results)
    with pytest.raises(ArtifactError, match=r"tasks\.one\.score must be in \[0, 1\]"):
        load([folder])


def test_a_score_that_its_items_contradict_is_told(tmp_path):
    folder = study_of(tmp_path, {"a": 0.0})
    run = run_folders(folder, "a")[0]
    results = json.loads((run / "results.json").read_text())
    results["tasks"]["one"]["score"] = 0.123
    fake.write_json(run / "results.json", results)
    (problem,) = load([folder]).problems
    assert "one is 0.1230 in results.json" in problem


def test_a_done_status_without_a_manifest_is_not_finished(tmp_path):
    folder = study_of(tmp_path, {"a": 0.0})
    (run_folders(folder, "a")[0] / "manifest.json").unlink()
    assert "seed 42 (unfinished)" in " ".join(summary(folder)[0].missing)


def test_families_are_corrected_within_the_question(tmp_path):
    folder = study_of(tmp_path, {"a": 0.0, "b": 0.1, "c": 0.2, "d": 0.3})
    found = analyse(load([folder]), SETTINGS)["q"]
    raw = [one.macro.recipe.p for one in found.comparisons.values()]
    adjusted = [one.macro.adjusted["recipe"] for one in found.comparisons.values()]
    assert min(adjusted) == pytest.approx(min(1, 3 * min(raw)))
    assert all(a >= r for a, r in zip(adjusted, raw, strict=True))


def test_the_long_table_has_a_row_for_what_is_missing_too(tmp_path):
    folder = study_of(tmp_path, {"a": 0.0, "b": 0.2}, unfinished=[("b", 44)])
    table = long_table(load([folder]))
    assert len(table) == 2 * 3 * 3
    lost = table[(table["arm"] == "b") & (table["seed"] == 44)]
    assert lost["score"].isna().all()
    assert set(lost["state"]) == {"running"}


def test_two_studies_join_and_share_runs(tmp_path):
    one = fake.write_study(tmp_path, {"q": {"a": 0.0}}, name="one", tasks=TWO)
    two = fake.write_study(tmp_path, {"q": {"a": 0.0, "b": 0.1}}, name="two", tasks=TWO)
    study = load([one, two])
    assert list(study.questions) == ["q", "two: q"]
    assert len(study.arms()) == 2
