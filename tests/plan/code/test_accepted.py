"""What a user has accepted as one code, and what not."""

from kvdistill.plan.code.accepted import AcceptedCode


def test_only_the_versions_that_were_accepted_count_as_one() -> None:
    accepted = AcceptedCode([{"versions": {"a": ["1", "2"]}}])
    assert accepted.covers({"a": {"1", "2"}})
    assert not accepted.covers({"a": {"1", "3"}})
    assert not accepted.covers({"a": {"1", "2"}, "b": {"1", "2"}})
    assert AcceptedCode().covers({})


def test_versions_accepted_step_by_step_count_as_one() -> None:
    """In whatever order the steps stand."""
    steps = [{"versions": {"a": ["3", "4"]}}, {"versions": {"a": ["1", "2"]}},
             {"versions": {"a": ["2", "3"]}}]  # fmt: skip
    assert AcceptedCode(steps).covers({"a": {"1", "4"}})
    assert not AcceptedCode(steps[:2]).covers({"a": {"1", "4"}})
