"""Claims: their schema, their hash before training, and how intervals become verdicts."""

import numpy as np
import pytest

from kvdistill import layout
from kvdistill.errors import ConfigError
from kvdistill.files import write_sealed
from kvdistill.history import append_event
from kvdistill.stats.audit.registration import KNOWN_BEFORE, REWORDED, UNCHAINED
from kvdistill.stats.claim_measures import Measurement, measure_routing
from kvdistill.stats.claims.families import (
    BENJAMINI_HOCHBERG,
    EXPLORATORY,
    HOLM,
    Family,
)
from kvdistill.stats.curves import mutual_information, routing_permutation_test
from kvdistill.stats.hypotheses import (
    BASELINE_KNOWN,
    BEFORE,
    POST_HOC,
    UNRECORDED,
    WITHDRAWN,
    Claim,
    build_registration,
    hash_claim,
    parse_claim,
)
from kvdistill.stats.load import load_study
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Arm, Run
from kvdistill.stats.verdicts import (
    INCONCLUSIVE,
    PENDING,
    POINT_ONLY,
    REFUTED,
    SUPPORTED,
    compute_claim_p,
    decide_verdict,
    judge_claims,
    judge_levels,
)
from tests.stats import fake

TASKS = {"one": 300, "two": 400}
SETTINGS = Settings(resamples=999)
ARMS = {"raw_student": -1.5, "single": -0.5, "fusion=fixed": -0.4, "fusion=learnable": 0.4}


def judge_nodes(tmp_path, nodes, key="hypotheses", **more):
    more.setdefault("extra", {"hypotheses": build_registration(nodes)})
    folder = fake.write_study(
        tmp_path, {"q": ARMS}, tasks=TASKS, judged={"q": {key: nodes}}, **more
    )
    return judge_claims(load_study([folder]), SETTINGS)


def make_claim(**more):
    return {"name": "F", "arm": "fusion=learnable", "baseline": "single", "at_least": 3.0} | more


@pytest.mark.parametrize(
    ("bound", "estimate", "p", "word"),
    [
        (3.0, 5.0, 0.01, SUPPORTED),
        (3.0, 5.0, 0.06, POINT_ONLY),
        (3.0, 3.0, 0.01, SUPPORTED),
        (3.0, 2.0, 0.06, INCONCLUSIVE),
        (3.0, 1.0, 0.01, REFUTED),
        (0.0, 0.5, 0.06, POINT_ONLY),
        (0.0, 0.0, 0.9, INCONCLUSIVE),
        (3.0, 5.0, None, POINT_ONLY),
        (3.0, None, None, PENDING),
    ],
)
def test_the_p_of_the_bound_decides(bound, estimate, p, word):
    measured = Measurement(unit="points", estimate=estimate)
    assert decide_verdict(parse_claim(make_claim(at_least=bound)), measured, p, 0.05)[0] == word


def test_at_most_is_at_least_mirrored():
    upper = parse_claim({k: v for k, v in make_claim(at_most=-30.0).items() if k != "at_least"})
    met, missed = (Measurement(unit="%", estimate=x, se=0.05, df=4.0) for x in (-45.0, -10.0))
    p = [compute_claim_p(upper, one) for one in (met, missed)]
    assert decide_verdict(upper, met, p[0], 0.05) == (SUPPORTED, 15.0)
    assert decide_verdict(upper, missed, p[1], 0.05)[0] == REFUTED


def test_the_p_is_that_of_the_interval_that_is_shown(tmp_path):
    low = judge_nodes(tmp_path, [make_claim()])[0].measured.low
    at_the_end = judge_nodes(tmp_path / "b", [make_claim(at_least=low)])[0]
    assert at_the_end.p == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (make_claim(at_most=1.0), "exactly one of at_least and at_most"),
        (make_claim(at_least=None), "exactly one"),
        (make_claim(atleast=3.0), "atleast is no key"),
        (make_claim(arm=""), "needs arm"),
        (make_claim(level="maximum"), "minimum, ideal, stretch"),
    ],
)
def test_a_claim_that_says_nothing_is_refused(node, message):
    with pytest.raises(ConfigError, match=message):
        parse_claim(node)


def test_a_clear_gain_is_supported_and_an_absurd_one_refuted(tmp_path):
    small, absurd = judge_nodes(tmp_path, [make_claim(), make_claim(name="G", at_least=60.0)])
    assert small.verdict == SUPPORTED
    assert small.margin == pytest.approx(small.measured.estimate - 3)
    assert absurd.verdict == REFUTED
    assert small.recorded == BEFORE


def test_tasks_improved_counts_sure_and_possible_ones(tmp_path):
    (verdict,) = judge_nodes(tmp_path, [make_claim(measure="tasks_improved", at_least=2)])
    assert verdict.measured.unit == "tasks"
    assert verdict.measured.low <= verdict.measured.estimate <= verdict.measured.high
    assert verdict.verdict == SUPPORTED


def test_a_level_needs_no_baseline(tmp_path):
    (verdict,) = judge_nodes(tmp_path, [make_claim(baseline=None, measure="one", at_least=5.0)])
    assert verdict.verdict == SUPPORTED
    assert 5 < verdict.measured.low < verdict.measured.estimate < 100


@pytest.mark.parametrize(("level", "estimate"), [(50.0, 100.0), (-50.0, 0.0)])
def test_an_interval_of_a_score_keeps_width_and_stays_a_score(tmp_path, level, estimate):
    nodes = [
        make_claim(arm="raw", baseline=None, measure=m, at_least=50.0) for m in ("one", "macro")
    ]
    folder = fake.write_study(
        tmp_path, {"q": {"raw": level}}, tasks=TASKS, untrained=["raw"],
        judged={"q": {"hypotheses": nodes}},
    )  # fmt: skip
    one, macro = judge_claims(load_study([folder]), SETTINGS)
    assert one.measured.estimate == macro.measured.estimate == estimate
    assert 0 <= one.measured.low < one.measured.high <= 100
    assert one.measured.high - one.measured.low == pytest.approx(1.26, abs=0.02)  # Wilson, n = 300
    assert macro.measured.low is None
    assert macro.measured.why == "no variance over items"


def test_kv_loss_is_compared_in_percent(tmp_path):
    (verdict,) = judge_nodes(tmp_path, [make_claim(measure="kv", at_least=None, at_most=90.0)])
    assert verdict.measured.unit == "%"
    assert verdict.verdict == SUPPORTED


def test_cost_and_spread_are_measures(tmp_path):
    cost, spread = judge_nodes(
        tmp_path,
        [
            make_claim(measure="efficiency.wall_time_s", at_least=None, at_most=50.0),
            make_claim(measure="std", at_least=None, at_most=0.0),
        ],
    )
    assert cost.verdict == SUPPORTED
    assert spread.measured.low < spread.measured.estimate
    assert spread.measured.high is None or spread.measured.estimate < spread.measured.high
    assert spread.verdict in (INCONCLUSIVE, POINT_ONLY)


def test_a_router_that_follows_the_task_specialises(tmp_path):
    (verdict,) = judge_nodes(
        tmp_path, [make_claim(measure="routing", at_least=None, at_most=0.05, baseline=None)]
    )
    assert verdict.measured.unit == "p"
    assert "mutual information" in verdict.measured.why


def test_what_is_not_there_is_pending_and_named(tmp_path):
    nodes = [make_claim(arm="nobody"), make_claim(measure="gsm9k"), make_claim(name="late")]
    late = judge_nodes(tmp_path, nodes, unfinished=[("fusion=learnable", 43)])
    assert [one.verdict for one in late] == [PENDING] * 3
    assert "no arm called 'nobody'" in late[0].measured.why
    assert "gsm9k" in late[1].measured.why
    assert "seed 43 (running)" in late[2].measured.why


def test_an_edited_claim_is_post_hoc(tmp_path):
    before = build_registration([make_claim()])
    edited, old = judge_nodes(tmp_path, [make_claim(at_least=1.0)], extra={"hypotheses": before})
    assert edited.recorded == POST_HOC
    assert (old.recorded, old.claim.bound) == (WITHDRAWN, 3.0)


def test_a_reworded_claim_is_shown_in_the_words_in_which_it_was_recorded(tmp_path):
    before = build_registration([make_claim(text="It is no worse")])
    (reworded,) = judge_nodes(
        tmp_path, [make_claim(name="F2", text="It wins")], extra={"hypotheses": before}
    )
    assert reworded.recorded == f"{REWORDED}: \u201cF \u00b7 It is no worse\u201d"


def test_runs_that_had_finished_before_the_claim_was_recorded_are_known_before(tmp_path):
    nodes, registration = [make_claim()], build_registration([make_claim()])
    folder = fake.write_study(
        tmp_path, {"q": ARMS}, tasks=TASKS, judged={"q": {"hypotheses": nodes}},
        extra={"hypotheses": build_registration([])},
    )  # fmt: skip
    runs = list(load_study([folder]).questions["q"].arms["fusion=learnable"].runs.values())
    append_event(tmp_path, "nano", "looked", finished=[runs[0].identity])
    every = load_study([folder]).runs
    fake.record_claims(tmp_path, "nano", every, registration)
    for run in every.values():
        write_sealed(run.folder / "manifest.json", {"files": {}, "hypotheses": registration})
    assert judge_claims(load_study([folder]), SETTINGS)[0].recorded == KNOWN_BEFORE


def test_a_claim_that_no_line_of_the_record_holds_is_not_called_recorded(tmp_path):
    nodes = [make_claim()]
    folder = fake.write_study(
        tmp_path, {"q": ARMS}, tasks=TASKS, judged={"q": {"hypotheses": nodes}},
        extra={"hypotheses": build_registration(nodes)},
    )  # fmt: skip
    layout.history_file(tmp_path).unlink()
    assert judge_claims(load_study([folder]), SETTINGS)[0].recorded == UNCHAINED


def test_a_claim_that_was_dropped_is_still_judged_and_counts_in_no_level(tmp_path):
    hard = make_claim(name="hard", level="minimum", at_least=60.0)
    kept = [make_claim(name="easy", level="minimum")]
    before = {
        "hypotheses": build_registration([*kept, hard, make_claim(name="elsewhere", arm="unknown")])
    }
    easy, dropped = verdicts = judge_nodes(tmp_path, kept, extra=before)
    assert (easy.recorded, dropped.claim.name) == (BEFORE, "hard")
    assert (dropped.verdict, dropped.recorded) == (REFUTED, WITHDRAWN)
    assert judge_levels(verdicts) == {"minimum": SUPPORTED}


def test_a_claim_written_between_baseline_and_arm_says_so(tmp_path):
    nodes = [make_claim()]
    folder = fake.write_study(
        tmp_path, {"q": ARMS}, tasks=TASKS, judged={"q": {"hypotheses": nodes}},
        extra={"hypotheses": build_registration(nodes)},
    )  # fmt: skip
    study = load_study([folder])
    for run in study.questions["q"].arms["single"].runs.values():
        write_sealed(
            run.folder / "manifest.json", {"files": {}, "hypotheses": build_registration([])}
        )
    assert judge_claims(load_study([folder]), SETTINGS)[0].recorded == BASELINE_KNOWN


def test_manifests_that_record_nothing_prove_nothing(tmp_path):
    assert judge_nodes(tmp_path, [make_claim()], extra={})[0].recorded == UNRECORDED


def test_the_hash_ignores_words_and_int_or_float():
    assert hash_claim(make_claim(at_least=3)) == hash_claim(make_claim(at_least=3.0, text="x"))
    assert hash_claim(make_claim()) != hash_claim(make_claim(at_least=3.1))


def test_the_weakest_claim_decides_a_level(tmp_path):
    nodes = [
        make_claim(level="minimum"),
        make_claim(level="minimum", at_least=60.0),
        make_claim(level="ideal"),
    ]
    assert judge_levels(judge_nodes(tmp_path, nodes, key="criteria")) == {
        "minimum": REFUTED,
        "ideal": SUPPORTED,
    }


def test_mutual_information_by_hand():
    assert mutual_information(np.array([[1.0, 0.0], [0.0, 1.0]])) == pytest.approx(np.log(2))
    assert mutual_information(np.full((3, 2), 0.5)) == pytest.approx(0)


def test_a_noisy_router_does_not_specialise_and_a_steady_one_does():
    rng = np.random.default_rng(0)
    tilt = np.linspace(0.2, 0.8, 7)
    steady = [np.stack([tilt, 1 - tilt], axis=1) for _ in range(3)]
    assert routing_permutation_test(steady, rng, 999)[1] < 0.01
    p_values = []
    for _ in range(40):
        noisy = [np.stack([w, 1 - w], axis=1) for w in rng.uniform(0.3, 0.7, (3, 7))]
        p_values.append(routing_permutation_test(noisy, rng, 199)[1])
    assert np.mean(np.array(p_values) < 0.05) < 0.2


@pytest.mark.parametrize(("tilt", "word"), [(0.003, INCONCLUSIVE), (0.3, SUPPORTED)])
def test_weights_that_hardly_move_do_not_depend_on_the_task_however_small_the_p(
    tmp_path, tilt, word
):
    arm = Arm(label="learnable", runs={})
    runs = {}
    for seed in (42, 43, 44):
        weights = {
            f"task {i}": {
                "one": {"0": 0.5 + tilt * np.sin(i)},
                "two": {"0": 0.5 - tilt * np.sin(i)},
            }
            for i in range(7)
        }
        folder = tmp_path / str(seed)
        fake.write_json(folder / "routing.json", {"schema_version": 1, "weights": weights})
        runs[seed] = Run(identity=str(seed), folder=folder, arm="a", seed=seed, trained=True)
    arm.runs = runs
    measured = measure_routing(arm, SETTINGS)
    assert measured.estimate < 0.01
    claim = Claim(name="F", arm="learnable", measure="routing", at_most=0.05)
    assert decide_verdict(claim, measured, measured.p, 0.05)[0] == word
    side = "below" if word == INCONCLUSIVE else "at or above"
    assert f"nats, {side} stats.routing_min_nats=0.01" in measured.why


@pytest.mark.integration
def test_a_familys_claims_are_corrected_together_and_one_more_can_cost_a_verdict(tmp_path):
    measured = judge_nodes(tmp_path, [make_claim()])[0].measured
    edge = make_claim(at_least=measured.low - 0.05)
    (alone,) = judge_nodes(tmp_path / "alone", [edge])
    assert (alone.verdict, alone.family.size) == (SUPPORTED, 1)
    undecided = [make_claim(name=f"U{i}", at_least=measured.estimate + 0.01 * i) for i in (1, 2, 3)]
    first, *_ = judge_nodes(tmp_path / "many", [edge, *undecided])
    assert first.verdict == POINT_ONLY
    assert first.family == Family(name="q", size=4, correction=HOLM)
    assert first.adjusted_p > first.p == alone.p


def test_what_is_not_measured_yet_counts_in_its_family(tmp_path):
    nodes = [make_claim(), make_claim(name="late", measure="gsm9k")]
    judged, late = judge_nodes(tmp_path, nodes)
    assert (late.verdict, late.adjusted_p) == (PENDING, None)
    assert judged.family.size == 2
    assert judged.adjusted_p == pytest.approx(2 * judged.p)


def test_claims_made_afterwards_are_one_exploratory_family_and_say_so(tmp_path):
    before = build_registration([])
    nodes = [make_claim(), make_claim(name="G", at_least=1.0)]
    verdicts = judge_nodes(tmp_path, nodes, extra={"hypotheses": before})
    assert {one.recorded for one in verdicts} == {POST_HOC}
    assert {one.verdict for one in verdicts} == {"supported (exploratory)"}
    assert verdicts[0].family == Family(name=EXPLORATORY, size=2, correction=BENJAMINI_HOCHBERG)


def test_another_level_is_named_and_criteria_ask_for_95_percent(tmp_path):
    nodes = [make_claim(at_least=0.0), make_claim(name="hard", level="minimum", at_least=0.0)]
    folder = fake.write_study(
        tmp_path, {"q": ARMS}, tasks=TASKS, judged={"q": {"hypotheses": nodes}},
        extra={"hypotheses": build_registration(nodes)},
    )  # fmt: skip
    study = load_study([folder])
    half, criterion = judge_claims(study, Settings(resamples=999, confidence=0.5))
    assert half.outcome == SUPPORTED
    assert half.verdict.endswith("at 50 %")
    assert (criterion.confidence, criterion.verdict.split()[0]) == (0.95, SUPPORTED)
    assert "at" not in criterion.verdict.split()
    assert judge_levels([criterion])["minimum"] == criterion.verdict
    strict, _ = judge_claims(study, Settings(resamples=999, confidence=0.99))
    assert strict.verdict.endswith("at 99 %")


def test_two_seeds_have_an_estimate_and_no_word_that_claims_more(tmp_path):
    nodes = [make_claim(), make_claim(name="SD", measure="std", at_least=None, at_most=0.0)]
    folder = fake.write_study(
        tmp_path, {"q": ARMS}, tasks=TASKS, judged={"q": {"hypotheses": nodes}}, seeds=(1, 2)
    )
    score, spread = judge_claims(load_study([folder]), SETTINGS)
    assert score.verdict in (POINT_ONLY, INCONCLUSIVE)
    assert "needs three" in score.measured.why
    assert "descriptive" in spread.measured.why
    assert (score.p, spread.p) == (None, None)
