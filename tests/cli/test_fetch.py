"""Which tasks are fetched from the hub."""

import pytest


@pytest.mark.parametrize(
    ("name", "public"),
    [("gsm8k", True), ("gsm8k_direct", True), ("cmmlu", True), ("nano_logic", False),
     ("test_questions", False)],
)  # fmt: skip
def test_tasks_drawn_from_the_split_are_not_fetched(name: str, public: bool) -> None:
    from kvdistill.cli.fetch import names_repository
    from kvdistill.evaluate.harness import TASKS

    assert names_repository(name, TASKS) is public
