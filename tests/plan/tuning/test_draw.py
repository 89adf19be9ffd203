"""Points of a grid: all of them, or as many as there are trials, in an order that is no one's."""

from kvdistill.plan.tuning.draw import describe_point, draw_points, list_points

GOLDEN = [
    "train.lr=0.003 loss.kv_weight=3.0",
    "train.lr=0.002 loss.kv_weight=1.0",
    "train.lr=0.002 loss.kv_weight=3.0",
]
GRID = {"train.lr": [1e-3, 2e-3, 3e-3], "loss.kv_weight": [0.3, 1.0, 3.0]}


def test_every_combination_is_a_point() -> None:
    assert len(list_points(GRID)) == 9
    assert list_points(GRID)[1] == {"train.lr": 1e-3, "loss.kv_weight": 1.0}


def test_no_point_is_drawn_twice_and_all_are_if_there_are_trials_for_all() -> None:
    drawn = draw_points(GRID, 9, 0)
    assert sorted(map(str, drawn)) == sorted(map(str, list_points(GRID)))
    assert drawn != list_points(GRID)
    assert draw_points(GRID, 20, 0) == drawn


def test_fewer_trials_are_the_first_of_more() -> None:
    assert draw_points(GRID, 4, 0) == draw_points(GRID, 9, 0)[:4]


def test_the_draw_is_the_same_on_every_machine() -> None:
    assert [describe_point(point) for point in draw_points(GRID, 3, 0)] == GOLDEN


def test_another_draw_is_another_order() -> None:
    assert draw_points(GRID, 9, 1) != draw_points(GRID, 9, 0)


def test_another_value_leaves_the_order_of_the_others() -> None:
    wider = {**GRID, "train.lr": [*GRID["train.lr"], 9.0]}
    drawn = [point for point in draw_points(wider, 12, 0) if point["train.lr"] != 9.0]
    assert drawn == draw_points(GRID, 9, 0)
