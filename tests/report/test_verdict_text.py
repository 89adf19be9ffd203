"""Beside a verdict's word: p, family and level; above all of them how many there are."""

import pytest

from kvdistill.report.verdict_text import describe_claim_counts, format_judgement
from kvdistill.stats.claims.families import correct_families
from kvdistill.stats.claims.measurement import Measurement
from kvdistill.stats.hypotheses import BEFORE, WITHDRAWN, Claim
from kvdistill.stats.verdicts import Verdict


def make_verdicts(*entries: tuple[str, float | None], recorded: str = BEFORE, **more):
    claim = Claim(name="F", arm="b", baseline="a", at_least=3.0)
    return [
        Verdict(
            **(
                {
                    "claim": claim, "question": name, "measured": Measurement(unit="points"),
                    "verdict": "supported", "outcome": "supported", "level": 0.95,
                    "confidence": 0.95, "p": p, "adjusted_p": adjusted, "family": family,
                    "margin": 1.0, "recorded": recorded,
                }
                | more
            )
        )
        for (name, p), (family, adjusted) in zip(entries, correct_families(entries), strict=True)
    ]  # fmt: skip


def test_p_family_and_level_stand_beside_the_word():
    first, _, pending = make_verdicts(("q", 0.004), ("q", 0.5), ("q", None))
    text = "p 0.004, corrected 0.012 (Holm, 3 claims of q); judged at 95 %"
    assert format_judgement(first) == text
    assert format_judgement(pending) == "one of 3 claims of q; no test"


def test_a_look_among_several_names_its_own_level():
    (one,) = make_verdicts(("q", 0.004), confidence=0.982)
    assert format_judgement(one).endswith("judged at 95 %, this look at 98.2 %")


def test_exploratory_claims_are_counted_over_the_study_with_what_stays():
    verdicts = make_verdicts(("exploratory", 0.001), ("exploratory", 0.2), ("q", 0.01))
    assert "corrected 0.002 (Benjamini-Hochberg, 2 exploratory claims)" in format_judgement(
        verdicts[0]
    )
    text = describe_claim_counts(verdicts)
    assert text.startswith("3 claims in this study; recorded before training")
    assert "2 exploratory claims, of which 1 stays below .05 by Benjamini-Hochberg" in text


def test_what_no_correction_covers_is_a_number():
    assert "Over the" not in describe_claim_counts(make_verdicts(("q", 0.1)))
    text = describe_claim_counts(make_verdicts(("q", 0.1), ("r", 0.1), ("s", 0.1)))
    assert "Over the 3 families nothing is corrected: were nothing true, up to 14 %" in text
    assert describe_claim_counts([]) == ""


def test_a_withdrawn_claim_is_counted():
    verdicts = make_verdicts(("q", 0.1), ("q", 0.2), recorded=WITHDRAWN)
    assert "2 withdrawn or edited, which still count in their family" in describe_claim_counts(
        verdicts
    )


@pytest.mark.parametrize("p", [None, 0.5])
def test_a_claim_judged_alone_names_no_family(p):
    (one,) = make_verdicts(("q", p), family=None)
    assert "claim" not in format_judgement(one)
