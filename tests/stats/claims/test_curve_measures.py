"""Claims about validation losses: the same texts, three seeds, and a component for the texts."""

import json
from pathlib import Path

import numpy as np
import pytest

from kvdistill.stats.claims.curve_measures import measure_curve
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Arm, Run
from tests.stats import fake

SETTINGS = Settings(resamples=999)


def make_arm(
    root: Path, label: str, values, *, column="ce", texts=True, rows=40, digest="a", seeds=None
) -> Arm:
    """An arm whose runs ended with these validation losses."""
    runs = {}
    for seed, value in zip(seeds or range(42, 42 + len(values)), values, strict=True):
        folder = root / f"{label}-{seed}"
        folder.mkdir()
        line = {"step": 40, "split": "val", column: value, "loss": 2 * value}
        (folder / "curves.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
        if texts:
            rng = np.random.default_rng([seed, len(label)])
            fake.write_validation_texts(folder, line, rng, rows=rows, digest=digest)
        runs[seed] = Run(identity=folder.name, folder=folder, arm=label, seed=seed, trained=True)
    return Arm(label=label, runs=runs)


def test_seeds_and_texts_are_both_in_the_interval(tmp_path) -> None:
    arm = make_arm(tmp_path, "arm", [0.801, 0.802, 0.8005])
    baseline = make_arm(tmp_path, "base", [1.0, 1.001, 0.9995])
    measured = measure_curve(arm, baseline, "ce", SETTINGS)
    assert measured.estimate == pytest.approx(-20, abs=0.3)
    assert "over 3 seeds and 40 validation rows" in measured.why
    # Seeds alone would give less than half a width of 0.2 %: the texts move by 5 % from run to run
    # and from arm to arm.
    assert measured.low is not None
    assert measured.high is not None
    assert measured.high - measured.low > 0.8


def test_other_texts_do_not_compare(tmp_path) -> None:
    arm = make_arm(tmp_path, "arm", [0.8, 0.81, 0.79])
    baseline = make_arm(tmp_path, "base", [1.0, 1.01, 0.99], digest="b")
    measured = measure_curve(arm, baseline, "ce", SETTINGS)
    assert measured.estimate is None
    assert measured.why.startswith("other validation texts: a, b.")


def test_other_tokens_of_the_same_texts_do_not_compare_by_token(tmp_path) -> None:
    arm, baseline = (make_arm(tmp_path, name, [0.8, 0.81, 0.79]) for name in ("arm", "base"))
    for run in baseline.runs.values():
        path = run.folder / "validation_texts.json"
        node = json.loads(path.read_text())
        node["tokens"] = [8, 12] * 20
        path.write_text(json.dumps(node))
    measured = measure_curve(arm, baseline, "ce", SETTINGS)
    assert measured.estimate is None
    assert "cross-entropy a token does not compare" in measured.why


def test_texts_that_contradict_the_curves_are_named(tmp_path) -> None:
    arm, baseline = (make_arm(tmp_path, name, [0.8, 0.81, 0.79]) for name in ("arm", "base"))
    curves = arm.runs[43].folder / "curves.jsonl"
    curves.write_text(curves.read_text().replace("0.81", "0.5"))
    why = measure_curve(arm, baseline, "ce", SETTINGS).why
    assert why == "seed 43: ce is 0.5 in the curves and 0.81 over its texts"


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"texts": False}, "no text component"),
        ({"rows": 8}, "8 validation rows, under 20"),
        ({"seeds": [42, 43]}, "needs 3 in each arm"),
    ],
)
def test_what_has_no_interval_says_what_it_cannot_claim(tmp_path, how, says) -> None:
    values = [0.8, 0.81, 0.79][: len(how.get("seeds", "abc"))]
    arm, baseline = (make_arm(tmp_path, name, values, **how) for name in ("arm", "base"))
    measured = measure_curve(arm, baseline, "ce", SETTINGS)
    assert measured.estimate is not None
    assert measured.low is measured.high is None
    assert measured.why.startswith("descriptive: ")
    assert says in measured.why


def test_the_trained_loss_is_described_and_not_judged(tmp_path) -> None:
    arm, baseline = (make_arm(tmp_path, name, [0.8, 0.81, 0.79]) for name in ("arm", "base"))
    measured = measure_curve(arm, baseline, "loss", SETTINGS)
    assert measured.low is None
    assert measured.why.startswith("descriptive: the trained loss weighs other terms in each arm")


def test_kv_claims_are_made_on_the_scale_that_compares(tmp_path) -> None:
    arm = make_arm(tmp_path, "arm", [0.5, 0.51, 0.49], column="kv_nmse")
    baseline = make_arm(tmp_path, "base", [1.0, 1.01, 0.99], column="kv_nmse")
    measured = measure_curve(arm, baseline, "kv", SETTINGS)
    assert measured.estimate == pytest.approx(-50, abs=0.5)
    assert measured.why.startswith("kv_nmse, ")
    older = make_arm(tmp_path, "older", [0.5, 0.5, 0.5], column="kv")
    why = measure_curve(arm, older, "kv", SETTINGS).why
    assert why.startswith("missing: kv_nmse of older, seed 42; it has kv alone")


def test_other_seeds_are_compared_without_pairs_and_none_is_dropped(tmp_path) -> None:
    arm = make_arm(tmp_path, "arm", [0.8, 0.81, 0.79], seeds=[1, 2, 3])
    baseline = make_arm(tmp_path, "base", [1.0, 1.01, 0.99, 1.4], seeds=[1, 2, 3, 4])
    measured = measure_curve(arm, baseline, "ce", SETTINGS)
    logs = np.log([0.8, 0.81, 0.79]).mean() - np.log([1.0, 1.01, 0.99, 1.4]).mean()
    assert measured.estimate == pytest.approx(100 * (np.exp(logs) - 1))


def test_texts_of_one_row_count_as_one(tmp_path) -> None:
    """Twice the texts of the same rows say no more: the interval must not shrink by root two."""
    widths = {}
    for name, ids in (("apart", "row-{i}:cot"), ("together", "row-{h}:style-{i}")):
        (tmp_path / name).mkdir()
        arms = [
            make_arm(tmp_path / name, side, [0.8, 0.8004, 0.7996], rows=80)
            for side in ("arm", "base")
        ]
        for arm in arms:
            for run in arm.runs.values():
                path = run.folder / "validation_texts.json"
                node = json.loads(path.read_text())
                node["ids"] = [ids.format(i=i, h=i // 2) for i in range(80)]
                # The two texts of a row say the same, but for the arm's own reading of the row.
                arm_rng = np.random.default_rng(len(arm.label))
                row = np.repeat(np.exp(0.2 * arm_rng.normal(size=40)), 2)
                ce = 10 * row
                node["ce"] = (ce * np.mean(node["ce"]) / ce.mean()).tolist()
                path.write_text(json.dumps(node))
        measured = measure_curve(*arms, "ce", SETTINGS)
        widths[name] = measured.high - measured.low
    assert widths["together"] > 1.25 * widths["apart"]
