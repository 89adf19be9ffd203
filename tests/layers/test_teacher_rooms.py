"""A teacher's own projection and layer map: what they name, and what they leave as it was."""

from pathlib import Path
from typing import Any

import pytest

from kvdistill.errors import ConfigError

pytestmark = pytest.mark.usefixtures("hydra")

OWN_MAP = "+layers/map@teachers.a.layers.map=nearest"
OWN_PROJECTION = "+projection@teachers.b.projection=low_rank"


def compose_config(*overrides: str) -> dict[str, Any]:
    from kvdistill.config.compose import compose

    return compose(list(overrides))


def name_nodes(*overrides: str) -> dict[str, str]:
    from kvdistill.plan.graph import list_artifacts

    artifacts = list_artifacts(compose_config(*overrides))
    return {role: node.name for role, node in artifacts}


def name_run(*overrides: str) -> str:
    from kvdistill.plan.identity import run_identity

    return run_identity(compose_config(*overrides))


def test_an_own_room_that_is_the_runs_is_no_other_run() -> None:
    for same in (
        "+projection@teachers.a.projection=ridge",
        "+layers/map@teachers.b.layers.map=proportional",
    ):
        assert name_run(same) == name_run()
        assert name_nodes(same) == name_nodes()


def test_an_own_room_is_another_run_than_without_it_and_than_for_all_teachers() -> None:
    runs = [name_run(*each) for each in ((), (OWN_MAP,), ("layers/map=nearest",))]
    assert len({*runs}) == 3
    runs = [name_run(*each) for each in ((), (OWN_PROJECTION,), ("projection=low_rank",))]
    assert len({*runs}) == 3


def test_an_own_map_is_measured_and_stored_as_that_map_of_any_run() -> None:
    own, all_nearest, without = (
        name_nodes("source=store", *each) for each in ((OWN_MAP,), ("layers/map=nearest",), ())
    )
    for role in ("calibration.a", "kv.a"):
        assert own[role] == all_nearest[role] != without[role]
    for role in ("calibration.b", "kv.b", "teacher.a", "teacher.b", "split"):
        assert own[role] == without[role]


def test_an_own_projection_is_fitted_on_what_was_measured_anyway() -> None:
    assert name_nodes("source=store", OWN_PROJECTION) == name_nodes("source=store")


def test_a_teacher_that_is_scored_as_it_is_has_no_rooms() -> None:
    from kvdistill.plan.command_plan import Plan

    references = []
    for overrides in ([], [OWN_MAP, OWN_PROJECTION]):
        plan = Plan(Path(), "s")
        plan.add(compose_config(*overrides))
        plan.add_references()
        references.append(plan.references)
    assert references[0] == references[1]


def test_the_plan_counts_the_layers_of_each_teachers_own_map() -> None:
    from kvdistill.plan.matching.run_flops import list_layers_read

    config = compose_config("+layers/map@teachers.a.layers.map=last", "layers=shallow")
    plain = compose_config("layers=shallow")
    reads = [list_layers_read(each, each["teachers"]["a"]) for each in (config, plain)]
    assert reads[0] != reads[1]
    reads = [list_layers_read(each, each["teachers"]["b"]) for each in (config, plain)]
    assert reads[0] == reads[1]


def test_a_map_beyond_its_teacher_is_refused_before_there_is_a_plan() -> None:
    from kvdistill.layers.from_config import check_layers

    config = compose_config(
        "+layers/map@teachers.a.layers.map=anchors", "teachers.a.layers.map.anchors={0:0,3:99}"
    )
    with pytest.raises(ConfigError, match=r"layers\.map sends student layer"):
        check_layers(config)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+teachers.a.layers.range=all", r"teachers\.a\.layers=.* must hold a map alone"),
        ("+teachers.a.layers.map=last", r"teachers\.a\.layers\.map must be a choice of layers/map"),
        ("+teachers.b.projection=ridge", r"teachers\.b\.projection must be a choice of projection"),
        ("+projection@student.projection=ridge", r"student\.projection is no setting"),
    ],
)
def test_what_is_no_room_of_a_teacher_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose_config(override)
