"""Two arms on disk: pairing proven or refused, every case of missing information by name."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kvdistill.stats.analysis import analyse_study
from kvdistill.stats.combined_interval import (
    MAX_VARIANCE_RATIO,
    moderate_variance,
    pool_seed_variance,
)
from kvdistill.stats.compare import UNPAIRED, compare_arms
from kvdistill.stats.load import build_long_table, load_study
from kvdistill.stats.seed_tests import (
    DEGENERATE,
    FEW_SEEDS,
    IDENTICAL,
    MISSING,
    OK,
    SINGLE_SEED,
    format_stars,
)
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import MACRO, Arm
from kvdistill.stats.summary import summarise_arm, summarise_study
from tests.stats import fake

SETTINGS = Settings(resamples=999)
TWO = {"one": 40, "two": 60}


def write_arms(tmp_path, arms, **more):
    more.setdefault("tasks", TWO)
    return fake.write_study(tmp_path, {"q": arms}, **more)


def compare_labels(folder, a="b", b="a", **more):
    study = load_study([folder])
    arms = study.questions["q"].arms
    return compare_arms(arms[a], arms[b], study.tasks, SETTINGS, **more)


def list_run_folders(folder: Path, arm: str) -> list[Path]:
    """The run folders of an arm, by seed."""
    plan = json.loads((folder / "plan.json").read_text())
    root = folder.parent.parent
    seeds = plan["questions"]["q"]["arms"][arm]
    return [root / plan["runs"][seeds[s]]["folder"] for s in sorted(seeds)]


def rewrite_items(run: Path, change) -> None:
    """Edits items.parquet and puts the scores of results.json in line."""
    frame = change(pd.read_parquet(run / "items.parquet"))
    frame.to_parquet(run / "items.parquet")
    results = json.loads((run / "results.json").read_text())
    for task, part in frame.groupby("task"):
        results["tasks"][task] |= {"score": float(part["correct"].mean()), "n": len(part)}
    fake.write_json(run / "results.json", results)


def test_the_estimate_is_the_difference_of_the_tables_means(tmp_path):
    folder = write_arms(tmp_path, {"a": -0.3, "b": 0.3})
    one = compare_labels(folder).macro
    (table,) = summarise_study(folder)
    assert one.estimate == pytest.approx(
        table.rows["b"][MACRO].mean - table.rows["a"][MACRO].mean, abs=1e-12
    )
    assert one.status == OK
    assert one.item.estimate == pytest.approx(one.estimate, abs=1e-12)
    assert one.recipe.low < one.estimate < one.recipe.high
    assert one.same_sign == (3, 3)


def test_swapping_arms_mirrors_every_interval(tmp_path):
    folder = write_arms(tmp_path, {"a": 0.0, "b": 0.2})
    there, back = compare_labels(folder).macro, compare_labels(folder, "a", "b").macro
    assert there.estimate == pytest.approx(-back.estimate, abs=1e-15)
    for name in ("seeds", "item", "recipe", "unpaired"):
        x, y = getattr(there, name), getattr(back, name)
        assert (x.low, x.high) == pytest.approx((-y.high, -y.low), abs=1e-12)
        assert x.p == pytest.approx(y.p, abs=1e-12)


def test_rows_in_another_order_are_the_same_study(tmp_path):
    folder = write_arms(tmp_path, {"a": 0.0, "b": 0.2})
    before = compare_labels(folder).macro
    for i, run in enumerate(list_run_folders(folder, "b")):
        rewrite_items(run, lambda f, i=i: f.sample(frac=1, random_state=i))
    after = compare_labels(folder).macro
    assert (after.item.low, after.recipe.high, after.seeds.p) == pytest.approx(
        (before.item.low, before.recipe.high, before.seeds.p), abs=1e-12
    )


def test_copying_seeds_creates_no_significance(tmp_path):
    folder = write_arms(tmp_path, {"a": 0.0, "b": 0.2}, seeds=(1, 2, 3))
    before = compare_labels(folder).macro
    wide = write_arms(tmp_path / "copy", {"a": 0.0, "b": 0.2}, seeds=(1, 2, 3, 11, 12, 13))
    for arm in ("a", "b"):
        originals, runs = list_run_folders(folder, arm), list_run_folders(wide, arm)
        by_seed = {int(r.name.split("-")[0].removeprefix("seed")): r for r in runs}
        for seed, source in zip((1, 2, 3), originals, strict=True):
            for target in (by_seed[seed], by_seed[seed + 10]):
                for name in ("items.parquet", "results.json"):
                    (target / name).write_bytes((source / name).read_bytes())
    after = compare_labels(wide).macro
    assert after.seeds.n == 3
    assert after.seeds.p == pytest.approx(before.seeds.p)
    assert after.recipe == before.recipe
    assert "counted once" in " ".join(after.notes)


def test_the_raw_student_is_one_run_without_a_spread(tmp_path):
    folder = write_arms(tmp_path, {"raw_student": -0.8, "b": 0.2})
    study = load_study([folder])
    raw = study.questions["q"].arms["raw_student"]
    assert len(raw.distinct_runs()) == 1
    assert summarise_arm(raw, MACRO, study.tasks).sd is None
    assert "\u00b1" not in summarise_arm(raw, MACRO, study.tasks).text()
    one = compare_labels(folder, "b", "raw_student").macro
    assert one.seeds.kind == "one-sample"
    assert one.seeds.n == 3
    assert one.unpaired is None
    assert "one-sample" in one.notes[0]


def test_two_untrained_arms_are_compared_over_items_only(tmp_path):
    folder = write_arms(tmp_path, {"raw_student": -0.8}, teachers={"big": 0.8})
    study = load_study([folder])
    run = study.references["big"]
    teacher = Arm(label="teacher big", runs={run.seed: run})
    raw = study.questions["q"].arms["raw_student"]
    comparison = compare_arms(teacher, raw, study.tasks, SETTINGS)
    assert comparison.macro.status == SINGLE_SEED
    assert comparison.macro.recipe is None
    assert comparison.macro.claim is comparison.macro.item
    assert comparison.macro.seeds.p is None
    assert 0 <= comparison.differences["one"].mcnemar < 0.05
    assert comparison.macro.mcnemar is None


def test_the_same_answers_are_identical_and_get_no_star(tmp_path):
    folder = write_arms(tmp_path, {"a": 0.0, "b": 0.0})
    for a, b in zip(list_run_folders(folder, "a"), list_run_folders(folder, "b"), strict=True):
        for name in ("items.parquet", "results.json"):
            (b / name).write_bytes((a / name).read_bytes())
    one = compare_labels(folder).macro
    assert one.status == IDENTICAL
    assert one.estimate == 0
    assert one.recipe is None
    assert format_stars(one.seeds.p) == ""


def test_equal_differences_are_degenerate_and_the_items_still_speak(tmp_path):
    folder = write_arms(tmp_path, {"a": 0.0, "b": 0.0})

    def one_more(frame):
        frame = frame.copy()
        for task in TWO:
            wrong = frame.index[(frame["task"] == task) & (frame["correct"] == 0)]
            frame.loc[wrong[:4], "correct"] = 1.0
        return frame

    for a, b in zip(list_run_folders(folder, "a"), list_run_folders(folder, "b"), strict=True):
        for name in ("items.parquet", "results.json"):
            (b / name).write_bytes((a / name).read_bytes())
        rewrite_items(b, one_more)
    one = compare_labels(folder).macro
    assert one.status == DEGENERATE
    assert one.seeds.p is None
    assert one.recipe is None
    assert one.item.se > 0
    assert one.item.low > 0


def test_an_unfinished_seed_is_named_and_nothing_is_averaged_over_it(tmp_path):
    folder = write_arms(tmp_path, {"a": 0.0, "b": 0.2}, unfinished=[("b", 44)])
    one = compare_labels(folder).macro
    assert one.status == MISSING
    assert one.estimate is None
    assert "b: seed 44 (running)" in one.why
    (table,) = summarise_study(folder)
    assert table.rows["b"][MACRO].mean is None
    assert len(table.rows["b"][MACRO].values) == 2
    assert table.missing == ["b: seed 44 (running)"]


def test_a_missing_task_gives_no_macro_average(tmp_path):
    folder = write_arms(tmp_path, {"a": 0.0, "b": 0.2})
    run = list_run_folders(folder, "b")[0]
    results = json.loads((run / "results.json").read_text())
    del results["tasks"]["two"]
    fake.write_json(run / "results.json", results | {"missing": ["two"]})
    comparison = compare_labels(folder)
    assert comparison.macro.estimate is None
    assert "no two" in comparison.macro.why
    assert comparison.differences["one"].estimate is not None


def test_a_task_that_no_run_could_score_is_missing_everywhere(tmp_path):
    folder = write_arms(tmp_path, {"a": 0.0, "b": 0.2})
    for arm in ("a", "b"):
        for run in list_run_folders(folder, arm):
            results = json.loads((run / "results.json").read_text())
            fake.write_json(run / "results.json", results | {"missing": {"three": "no data"}})
    study = load_study([folder])
    assert list(study.tasks) == ["one", "two", "three"]
    assert compare_labels(folder).macro.status == MISSING


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: f.iloc[:-3], "items against"),
        (lambda f: f.assign(prompt_hash=f["prompt_hash"] + "x"), "prompt of 40 items differs"),
        (lambda f: f.assign(doc_hash="x"), "document of 40 items differs"),
    ],
)
def test_arms_that_answered_other_items_are_refused_by_name(tmp_path, change, reason):
    folder = write_arms(tmp_path, {"a": 0.0, "b": 0.2}, tasks={"one": 40})
    rewrite_items(list_run_folders(folder, "b")[1], change)
    one = compare_labels(folder).macro
    assert one.status == UNPAIRED
    assert reason in one.why
    assert one.estimate is None


def test_disjoint_seeds_are_an_a_a_comparison_without_pairs(tmp_path):
    folder = write_arms(tmp_path, {"a": 0.0, "b": 0.0})
    study = load_study([folder])
    arm = study.questions["q"].arms["a"]
    other = study.questions["q"].arms["b"]
    shifted = Arm(label="again", runs={seed + 100: run for seed, run in other.runs.items()})
    one = compare_arms(shifted, arm, study.tasks, SETTINGS).macro
    assert one.seeds.kind == "welch"
    assert one.recipe is not None
    assert "unpaired over seeds" in one.notes[0]


def test_one_seed_makes_no_claim_about_seeds(tmp_path):
    one = compare_labels(write_arms(tmp_path, {"a": 0.0, "b": 0.2}, seeds=(0,))).macro
    assert one.status == SINGLE_SEED
    assert one.recipe is None
    assert one.item.low < one.estimate < one.item.high


def test_two_seeds_have_a_t_test_and_no_recipe_claim(tmp_path):
    one = compare_labels(write_arms(tmp_path, {"a": 0.0, "b": 0.2}, seeds=(0, 1))).macro
    assert one.seeds.df == 1
    assert one.recipe is None
    assert one.status == FEW_SEEDS


@pytest.mark.parametrize("seeds", [(0,), (0, 1), (0, 1, 2)])
@pytest.mark.parametrize("shift", [0, 100])
def test_ok_is_the_status_of_a_claim_about_the_recipe_and_of_nothing_else(tmp_path, seeds, shift):
    study = load_study([write_arms(tmp_path, {"a": 0.0, "b": 0.2}, seeds=seeds)])
    arm, baseline = (study.questions["q"].arms[label] for label in "ba")
    moved = Arm(label="b", runs={seed + shift: run for seed, run in arm.runs.items()})
    for one in compare_arms(moved, baseline, study.tasks, SETTINGS).differences.values():
        assert (one.status == OK) == (one.recipe is not None)


def test_run_noise_is_no_part_of_the_items_own_variance(tmp_path):
    one = compare_labels(write_arms(tmp_path, {"a": 0.0, "b": 0.2}, tasks={"one": 900})).macro
    # The arms differ by runs alone: of the items' variance next to nothing is their own.
    assert one.recipe.se**2 < one.seeds.se**2 + 0.5 * one.item.se**2
    assert one.seed_share > 0.5


def test_unpaired_arms_are_told_the_seeds_they_need_and_one_run_nothing(tmp_path):
    study = load_study([write_arms(tmp_path, {"a": 0.0, "b": 0.0})])
    arm, other = (study.questions["q"].arms[label] for label in "ab")
    shifted = Arm(label="b", runs={seed + 100: run for seed, run in other.runs.items()})
    wide = Settings(resamples=999, detect=30.0)
    one = compare_arms(shifted, arm, study.tasks, wide).macro
    assert one.seeds_needed == 3
    assert one.items_needed is None
    narrow = Settings(resamples=999, detect=0.05)
    hopeless = compare_arms(shifted, arm, study.tasks, narrow).macro
    assert hopeless.seeds_needed is None
    assert hopeless.items_needed >= 1
    single = write_arms(tmp_path / "single", {"a": 0.0, "b": 0.2}, seeds=(0,))
    assert compare_labels(single).macro.items_needed is None


def test_a_claim_about_the_recipe_is_no_surer_than_the_paired_t_over_its_seeds(tmp_path):
    four = compare_labels(write_arms(tmp_path, {"a": 0.0, "b": 0.2}, seeds=(1, 2, 3, 4))).macro
    assert four.recipe.p >= four.seeds.p
    assert four.recipe.seed_error == pytest.approx((four.seeds.se, 3))


def test_a_seed_without_counterpart_is_named(tmp_path):
    folder = write_arms(tmp_path, {"a": 0.0, "b": 0.2}, seeds=(1, 2, 3, 4))
    study = load_study([folder])
    a, b = (study.questions["q"].arms[k] for k in "ab")
    fewer = Arm(label="a", runs={s: r for s, r in a.runs.items() if s != 4})
    one = compare_arms(b, fewer, study.tasks, SETTINGS).macro
    assert one.seeds.n == 3
    assert "b: seeds 4 have no counterpart" in one.notes


def test_subjects_widen_the_interval(tmp_path):
    plain = compare_labels(write_arms(tmp_path / "p", {"a": 0.0, "b": 0.2}), "b", "a").macro
    folder = write_arms(tmp_path / "s", {"a": 0.0, "b": 0.2}, subjects=5)
    grouped = compare_labels(folder).macro
    study = load_study([folder])
    run = next(iter(study.runs.values()))
    assert set(run.scores["one"].items.subjects) == set(range(5))
    assert grouped.item.df < plain.item.df


def read_refusal(folder):
    """The one problem of a study with one unreadable run, none of whose numbers is read."""
    study = load_study([folder])
    (run,) = (run for run in study.runs.values() if not run.done)
    assert (run.state, run.scores) == ("unreadable", {})
    (problem,) = study.problems
    return problem


def test_a_twice_listed_item_is_refused(tmp_path):
    folder = write_arms(tmp_path, {"a": 0.0, "b": 0.2})
    rewrite_items(list_run_folders(folder, "b")[0], lambda f: pd.concat([f, f.iloc[:1]]))
    assert "stands there twice" in read_refusal(folder)


@pytest.mark.parametrize(("value", "reason"), [(np.nan, "NaN"), (57.0, "percent")])
def test_an_item_without_a_share_is_refused(tmp_path, value, reason):
    folder = write_arms(tmp_path, {"a": 0.0})
    run = list_run_folders(folder, "a")[0]
    frame = pd.read_parquet(run / "items.parquet")
    frame.loc[0, "correct"] = value
    frame.to_parquet(run / "items.parquet")
    assert reason in read_refusal(folder)


def test_percent_in_the_results_are_refused(tmp_path):
    folder = write_arms(tmp_path, {"a": 0.0})
    run = list_run_folders(folder, "a")[0]
    results = json.loads((run / "results.json").read_text())
    results["tasks"]["one"]["score"] = 57.0
    fake.write_json(run / "results.json", results)
    assert "tasks.one.score must be in [0, 1]" in read_refusal(folder)


def test_a_score_that_its_items_contradict_is_told(tmp_path):
    folder = write_arms(tmp_path, {"a": 0.0})
    run = list_run_folders(folder, "a")[0]
    results = json.loads((run / "results.json").read_text())
    results["tasks"]["one"]["score"] = 0.123
    fake.write_json(run / "results.json", results)
    (problem,) = load_study([folder]).problems
    assert "one is 0.1230 in results.json" in problem


def test_a_done_status_without_a_manifest_is_not_finished(tmp_path):
    folder = write_arms(tmp_path, {"a": 0.0})
    (list_run_folders(folder, "a")[0] / "manifest.json").unlink()
    assert "seed 42 (unfinished)" in " ".join(summarise_study(folder)[0].missing)


def test_families_are_corrected_within_the_question(tmp_path):
    folder = write_arms(tmp_path, {"a": 0.0, "b": 0.1, "c": 0.2, "d": 0.3})
    analysis = analyse_study(load_study([folder]), SETTINGS)["q"]
    raw = [one.macro.recipe.p for one in analysis.comparisons.values()]
    adjusted = [one.macro.adjusted["recipe"] for one in analysis.comparisons.values()]
    assert min(adjusted) == pytest.approx(min(1, 3 * min(raw)))
    assert all(a >= r for a, r in zip(adjusted, raw, strict=True))


def test_the_long_table_has_a_row_for_what_is_missing_too(tmp_path):
    folder = write_arms(tmp_path, {"a": 0.0, "b": 0.2}, unfinished=[("b", 44)])
    table = build_long_table(load_study([folder]))
    assert len(table) == 2 * 3 * 3
    lost = table[(table["arm"] == "b") & (table["seed"] == 44)]
    assert lost["score"].isna().all()
    assert set(lost["state"]) == {"running"}


def test_two_studies_join_and_share_runs(tmp_path):
    one = fake.write_study(tmp_path, {"q": {"a": 0.0}}, name="one", tasks=TWO)
    two = fake.write_study(tmp_path, {"q": {"a": 0.0, "b": 0.1}}, name="two", tasks=TWO)
    study = load_study([one, two])
    assert list(study.questions) == ["q", "two: q"]
    assert len(study.distinct_arms()) == 2


SPREAD_ARMS = {"a": 0.0, "b": 0.2, "c": 0.1, "d": 0.3}


def compare_in_question(folder, **settings):
    study = load_study([folder])
    question = study.questions["q"]
    arm, baseline = (question.arms[label] for label in "ba")
    chosen = Settings(resamples=999, **settings)
    return compare_arms(arm, baseline, study.tasks, chosen, question=question).macro


def test_a_moderated_variance_is_the_mean_of_its_own_and_the_arms_by_degrees_of_freedom(tmp_path):
    folder = write_arms(tmp_path, SPREAD_ARMS)
    own, moderated = (compare_in_question(folder, variance=v) for v in ("own", "moderated"))
    study = load_study([folder])
    arms = study.questions["q"].arms.values()
    scores = np.array(
        [[run.get_score(MACRO, study.tasks) for run in a.runs.values()] for a in arms]
    )
    pooled = pool_seed_variance(scores)
    if own.seeds.sd**2 > MAX_VARIANCE_RATIO * pooled:
        assert moderated.recipe == own.recipe
        assert "exceeds" in " ".join(moderated.notes)
        return
    seed_part = (pooled + 2 * own.seeds.sd**2) / 3
    change = (seed_part - own.seeds.sd**2) / 3
    assert moderated.recipe.se**2 - own.recipe.se**2 == pytest.approx(change, abs=1e-12)
    assert moderated.seeds == own.seeds  # the study's own paired t stays what it is
    assert "seed variance moderated over 4 arms" in moderated.notes


def test_too_few_arms_or_a_pair_that_scatters_more_are_not_moderated(tmp_path):
    few = write_arms(tmp_path, {"a": 0.0, "b": 0.2, "c": 0.1})
    own, moderated = (compare_in_question(few, variance=v) for v in ("own", "moderated"))
    assert moderated.recipe == own.recipe
    assert "3 arms of 3 common seeds, of 4 and 3 that moderating needs" in moderated.notes[-1]
    assert moderate_variance(2.1, 2, 1.0) is None
    assert moderate_variance(1.4, 2, 1.0) == pytest.approx((1.0 + 2.8) / 3)


def test_a_shift_that_all_arms_share_is_no_seed_variance_of_their_differences():
    rng = np.random.default_rng(0)
    scores = 0.02 * rng.standard_normal((5, 2000)) + rng.standard_normal(2000)
    assert pool_seed_variance(scores) == pytest.approx(2 * 0.02**2, rel=0.05)
