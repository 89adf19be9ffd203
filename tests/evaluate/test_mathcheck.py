import threading

import pytest

from kvdistill.evaluate import mathcheck

SLOW = "9^{9^{9^{9}}}"


@pytest.fixture(autouse=True)
def ended():
    yield
    mathcheck.close()


def test_an_answer_that_never_ends_is_wrong_and_the_next_one_is_still_judged():
    assert not mathcheck.same(SLOW, "1", timeout=1.0)
    assert mathcheck.same(r"\frac{1}{2}", "0.5")


def test_it_works_outside_the_main_thread():
    verdicts = []
    thread = threading.Thread(target=lambda: verdicts.append(mathcheck.same("1/2", "0.5")))
    thread.start()
    thread.join()
    assert verdicts == [True]


def test_a_child_that_was_killed_is_replaced():
    assert mathcheck.same("2+2", "4")
    mathcheck._children[-1].process.kill()
    mathcheck._children[-1].process.wait()
    assert mathcheck.same("2+2", "4")


def test_an_answer_longer_than_any_gold_one_is_wrong_without_asking():
    assert not mathcheck.same("1+" * 400 + "1", "401")
    assert mathcheck._children == []
