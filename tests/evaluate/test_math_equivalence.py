import threading

import pytest

from kvdistill.evaluate.grading import math_equivalence

SLOW = "9^{9^{9^{9}}}"


@pytest.fixture(autouse=True)
def close_verifier():
    yield
    math_equivalence.close_process()


@pytest.mark.integration
def test_an_answer_that_never_ends_is_wrong_and_the_next_one_is_still_judged():
    assert not math_equivalence.is_equivalent(SLOW, "1", timeout=1.0)
    assert math_equivalence.is_equivalent(r"\frac{1}{2}", "0.5")


def test_it_works_outside_the_main_thread():
    verdicts = []
    thread = threading.Thread(
        target=lambda: verdicts.append(math_equivalence.is_equivalent("1/2", "0.5"))
    )
    thread.start()
    thread.join()
    assert verdicts == [True]


@pytest.mark.integration
def test_a_child_that_was_killed_is_replaced():
    assert math_equivalence.is_equivalent("2+2", "4")
    math_equivalence._processes[-1].process.kill()
    math_equivalence._processes[-1].process.wait()
    assert math_equivalence.is_equivalent("2+2", "4")


def test_an_answer_longer_than_any_gold_one_is_wrong_without_asking():
    assert not math_equivalence.is_equivalent("1+" * 400 + "1", "401")
    assert math_equivalence._processes == []
