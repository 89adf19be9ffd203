"""Coverage and leak, over all tokens and over those with a digit."""

from hypothesis import given, settings

from kvdistill.alignment.report import AlignmentCounts, AlignmentReport, measure_alignment
from kvdistill.alignment.soft import Soft
from kvdistill.alignment.soft_causal import SoftCausal
from kvdistill.alignment.sync import Sync
from tests.alignment.spans import any_spans, spans

STUDENT = ("", "is ", "2", "0", "1", ".", "")
TEACHER = ("is", " ", "201", ".", "")
TEXT = b"is 201."


def counts(alignment):
    student, teacher = spans(*STUDENT), spans(*TEACHER)
    return measure_alignment(student, teacher, alignment(student, teacher), TEXT)


def test_split_digits_leak_under_soft():
    report = counts(Soft())
    assert report.all == AlignmentCounts(tokens=5, matched=5, leaking=2)
    assert report.digits == AlignmentCounts(tokens=3, matched=3, leaking=2)
    assert report.digits.leak == 2 / 3


def test_soft_causal_trades_the_leak_for_coverage():
    report = counts(SoftCausal())
    assert report.all == AlignmentCounts(tokens=5, matched=3, leaking=0)
    assert report.digits.coverage == 1 / 3


def test_rates_are_shares_of_the_tokens_digits_apart() -> None:
    counts = AlignmentCounts(tokens=8, matched=6, leaking=2)
    rates = AlignmentReport(all=counts, digits=AlignmentCounts(tokens=2, matched=1)).compute_rates()
    assert rates == {
        "tokens": 8, "coverage": 0.75, "leak": 0.25,
        "digit_tokens": 2, "digit_coverage": 0.5, "digit_leak": 0.0,
    }  # fmt: skip


def test_reports_of_texts_add_up():
    assert (counts(Soft()) + counts(SoftCausal())).all == AlignmentCounts(
        tokens=10, matched=8, leaking=2
    )


def test_a_text_without_digits_has_no_digit_coverage():
    student = spans("a")
    report = measure_alignment(student, student, Soft()(student, student), b"a")
    assert report.digits.coverage is None
    assert report.all.coverage == 1.0
    assert AlignmentReport().all.leak is None


@settings(deadline=None, derandomize=True)
@given(student=any_spans(), teacher=any_spans())
def test_only_soft_may_leak(student, teacher):
    for alignment in (SoftCausal(), Sync()):
        assert (
            measure_alignment(student, teacher, alignment(student, teacher), b"7" * 24).all.leaking
            == 0
        )
