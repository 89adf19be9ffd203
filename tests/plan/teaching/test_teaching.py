"""What of its teachers a run reads or trains on; a run that has neither is what it was before."""

import pytest

pytestmark = pytest.mark.usefixtures("hydra")


def make(*overrides: str):
    from kvdistill.config.compose import compose

    return compose(list(overrides))


def key(*overrides: str) -> str:
    from kvdistill.plan.identity import run_identity

    return run_identity(make(*overrides))


def test_gold_answers_and_given_texts_are_the_run_that_was_before_there_was_a_choice() -> None:
    from kvdistill.plan.identity import run_identity

    config = make()
    for name in ("answers", "answers_from", "decoding"):
        del config["data"][name]
    del config["on_policy"]
    assert run_identity(config) == key()
    # Of what nobody writes it does not matter how.
    assert key("data.decoding.temperature=0.5", "on_policy.temperature=0.0") == key()


@pytest.mark.parametrize(
    "override",
    ["data.answers=right_teacher", "data.answers_from=b", "data.decoding.temperature=0.5",
     "data.decoding.max_new_tokens=5"],
)  # fmt: skip
def test_other_answers_are_another_run(override: str) -> None:
    assert key("arm=sequence_kd", override) != key("arm=sequence_kd")


@pytest.mark.parametrize(
    "override", ["on_policy.every=1", "on_policy.texts=8", "on_policy.temperature=0.5"]
)
def test_other_own_texts_are_another_run(override: str) -> None:
    assert key("arm=on_policy_kv", override) != key("arm=on_policy_kv") != key()


def test_a_seed_matters_where_something_is_drawn() -> None:
    greedy = ["arm=sequence_kd", "data.decoding.seed=3"]
    assert key(*greedy) == key("arm=sequence_kd")
    drawn = ["arm=sequence_kd", "data.decoding.temperature=0.5"]
    assert key(*drawn, "data.decoding.seed=3") != key(*drawn)


def test_unread_teachers_are_there_for_their_answers_alone() -> None:
    from kvdistill.plan.teaching.answers import list_answering_teachers
    from kvdistill.plan.teaching.unread import drop_unread_teachers, reads_teachers

    unread = make("arm=sequence_kd", "data.answers_from=b")
    assert not reads_teachers(unread)
    assert drop_unread_teachers(unread)["teachers"] == {}
    assert list(list_answering_teachers(unread)) == ["b"]
    read = make("data.answers=teacher")
    assert drop_unread_teachers(read)["teachers"] == read["teachers"]
    assert list(list_answering_teachers(read)) == ["a", "b"]


def test_unread_teachers_cost_no_step_anything() -> None:
    from kvdistill.plan.matching.run_flops import count_step_flops, count_token_flops
    from kvdistill.plan.resources.run_memory import estimate_run_memory

    sequence, plain = make("arm=sequence_kd"), make("arm=sft")
    assert count_step_flops(sequence) == count_step_flops(plain)
    assert list(count_token_flops(sequence)) == ["student"]
    assert estimate_run_memory(sequence) == estimate_run_memory(plain)


def test_own_texts_lie_in_memory_beside_given_ones() -> None:
    from kvdistill.plan.resources.run_memory import estimate_run_memory

    few = estimate_run_memory(make("arm=on_policy_kv", "on_policy.texts=8"))
    assert estimate_run_memory(make()).total < few.total
    assert few.total < estimate_run_memory(make("arm=on_policy_kv")).total
