import pytest

from kvdistill.errors import ConfigError
from kvdistill.evaluate.suite import Suite


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tasks": []}, r"tasks.tasks is empty"),
        ({"tasks": ["a", "b"], "beside": ["a"]}, r"names a twice"),
        ({"tasks": ["a"], "limit": 0}, r"^tasks.limit=0 must be at least 1"),
        ({"tasks": ["a"], "limit": {"a": 0}}, r"^tasks.limit.a=0 must be at least 1"),
        ({"tasks": ["a"], "limit": {"b": 3}}, r"name b, which is not among"),
        ({"tasks": ["a"], "shots": {"c": 3}}, r"name c, which is not among"),
        ({"tasks": ["a"], "batch_size": 0}, r"^tasks.batch_size=0 must be"),
    ],
)
def test_a_suite_that_cannot_work_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Suite(name="x", **fields)


def test_a_limit_holds_for_all_tasks_or_for_those_it_names():
    assert Suite(name="x", tasks=["a", "b"], limit=3).get_item_limit("b") == 3
    by_name = Suite(name="x", tasks=["a", "b"], limit={"a": 2})
    assert (by_name.get_item_limit("a"), by_name.get_item_limit("b")) == (2, None)


def test_what_stands_beside_is_scored_after_the_tasks():
    assert Suite(name="x", tasks=["b", "a"], beside=["c"]).all_tasks == ("b", "a", "c")
