"""source=auto: a run is the same whichever is chosen, the cheaper is, and it stays so."""

from pathlib import Path
from typing import Any

import pytest

from kvdistill.estimate import run_cost
from kvdistill.estimate.choose_source import (
    choose_outcome,
    choose_sources,
    describe_outcome,
)
from kvdistill.estimate.reading_cost import Reading
from kvdistill.plan.command_plan import Plan

pytestmark = pytest.mark.usefixtures("hydra")
FEW = "budget.total_tokens=40960"
"""Ten steps: a sixth of the texts."""


def expand(root: Path, *overrides: str) -> tuple[Plan, list[str]]:
    from kvdistill.plan.expand import expand_command

    command = [f"root={root}", "references=false", "source=auto", *overrides]
    plan = expand_command([command], Path("sweeps"))
    return plan, list(choose_sources(plan))


def read_source(plan: Plan) -> Any:
    (run,) = plan.runs.values()
    return run.node.recipe["source"]["read"], [n for n in run.node.needs if n.startswith("kv.")]


def test_texts_that_are_read_often_are_stored_and_few_are_not(tmp_path: Path) -> None:
    plan, (line,) = expand(tmp_path)
    assert read_source(plan) == ("stored", ["kv.a", "kv.b"])
    assert line.startswith("source=auto: 1 run reads 2 float32 stores of the teachers' K and V (5")
    assert "each text is read 4.9 times, reckoned at " in line
    plan, (line,) = expand(tmp_path, FEW)
    assert read_source(plan) == ("live", [])
    assert line.startswith("source=auto: 1 run reads live teachers: each text is read 0.16 times")


def test_a_chosen_store_holds_the_run_s_own_texts_in_full_precision(tmp_path: Path) -> None:
    plan, _ = expand(tmp_path, "style=direct")
    (run,) = plan.runs.values()
    for store in (plan.artifacts[run.node.needs[f"kv.{role}"]] for role in "ab"):
        spec = store.recipe["source"]["stored"]
        assert (spec["dtype"], spec["style"]) == ("float32", run.config["style"])


def test_many_runs_of_the_same_texts_share_the_filling(tmp_path: Path) -> None:
    from kvdistill.plan.expand import expand_command

    half = "budget.total_tokens=184320"  # three quarters of the texts
    commands = [[f"root={tmp_path}", "source=auto", half, f"seed={seed}"] for seed in range(8)]
    for count, read in ((1, "live"), (8, "stored")):
        plan = expand_command(commands[:count], Path("sweeps"))
        assert len(list(choose_sources(plan))) == 1
        reads = {r.node.recipe["source"]["read"] for r in plan.runs.values() if r.config["trained"]}
        assert reads == {read}


def test_stores_that_several_arms_read_are_filled_and_find_room_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.plan.expand import expand_command

    arms = ("multi_teacher", "single_teacher")
    commands = [[f"root={tmp_path}", f"arm={arm}", "references=false"] for arm in arms]
    sizes = {}
    for given in (commands[:1], commands):
        (line,) = choose_sources(expand_command(given, Path("sweeps")))
        sizes[len(given)] = line.partition("(")[2].partition(" to be filled")[0]
    assert sizes[1] == sizes[2]
    # Half of the disk has room for the one teacher's, and not for two.
    monkeypatch.setattr(run_cost, "read_free_bytes", lambda _: 2 * 400 * 2**20)
    plan = expand_command(commands, Path("sweeps"))
    full, one = choose_sources(plan)
    assert "1 run reads 1 float32 store of" in one
    assert full.startswith("source=auto: 1 run reads live teachers: of 800.0 MiB free")


def test_a_run_that_was_frozen_with_live_teachers_stays_so(tmp_path: Path) -> None:
    from kvdistill.plan.freeze import freeze_plan

    freeze_plan(expand(tmp_path, "source=online")[0])
    plan, lines = expand(tmp_path)
    (run,) = plan.runs.values()
    assert lines == []
    assert run.node.recipe["source"]["_target_"] == "kvdistill.kv.online.Online"
    assert not any(need.startswith("kv.") for need in run.node.needs)


@pytest.mark.parametrize("overrides", [["on_policy=student"], ["data.answers=teacher"]])
def test_what_no_store_can_hold_stays_live(tmp_path: Path, overrides: list[str]) -> None:
    plan, lines = expand(tmp_path, *overrides)
    (run,) = plan.runs.values()
    assert lines == []
    assert not any(need.startswith("kv.") for need in run.node.needs)


def test_a_run_that_began_one_way_goes_on_so_until_it_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill import layout
    from kvdistill.files import write_json
    from kvdistill.plan.freeze import find_planned_folder, freeze_plan

    plan, _ = expand(tmp_path)
    freeze_plan(plan)
    monkeypatch.setattr(run_cost, "read_free_bytes", lambda _: 0)
    for asked in ("source=auto", "source=online"):
        again, lines = expand(tmp_path, asked)
        assert lines == []
        assert read_source(again) == ("stored", ["kv.a", "kv.b"])
    (run,) = plan.runs.values()
    folder = find_planned_folder(plan, run.node.name)
    write_json(folder / layout.STATUS, {"state": "failed"})
    assert read_source(expand(tmp_path)[0]) == ("live", [])
    other, _ = expand(tmp_path, "seed=7")
    assert read_source(other) == ("live", [])


def test_a_store_that_fills_the_disk_is_not_chosen() -> None:
    reading = Reading(1, 5.0, live_s=10.0, stored_s=1.0, stores={"kv-1"}, new_bytes=100)
    assert choose_outcome(reading, 100.0) == "stored"
    assert choose_outcome(reading, 99.0) == "full"
    assert "of 2.0 MiB free on the disk stores may take 50%" in describe_outcome(
        "full", reading, 2**21
    )
    assert choose_outcome(Reading(1, 5.0, 1.0, 10.0, {"kv-1"}, 0), 1e12) == "live"


def test_wherever_it_reads_a_run_has_the_identity_of_a_live_one(tmp_path: Path) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan.identity import run_identity
    from kvdistill.plan.teaching.reading import choose_reading

    live = run_identity(compose(["source=online"]))
    auto = compose(["source=auto"])
    assert {run_identity(choose_reading(auto, read)) for read in ("live", "stored")} == {live}
    wrapped = [["source=shuffled", f"source@source.of={each}"] for each in ("online", "auto")]
    assert len({run_identity(compose(each)) for each in wrapped}) == 1
    assert run_identity(compose(["source=store", "source.stored.dtype=float32"])) != live
    plan, _ = expand(tmp_path)
    assert list(plan.runs) == [live]


def test_less_than_full_precision_is_another_science_and_refused() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError

    for setting in ("source.stored.dtype=bfloat16", "source.stored.states=bfloat16"):
        with pytest.raises(ConfigError, match=rf"^{setting}, but source=auto"):
            compose(["source=auto", setting])
    with pytest.raises(ConfigError, match=r"^source\.read='disk' must be live or stored"):
        compose(["source=auto", "source.read=disk"])
