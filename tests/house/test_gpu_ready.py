"""The bench that counts on a CPU what decides on a GPU: what it prints, whatever is chosen."""

import json
from typing import Any

import pytest


def run_bench(capsys: pytest.CaptureFixture[str], *given: str, **more: Any) -> Any:
    """(exit code, lines before the last, the JSON object of the last line) of two small parts."""
    import torch

    from tests.bench.gpu_ready.__main__ import main
    from tests.bench.gpu_ready.part import Part

    def draw(quick: bool) -> dict[str, float]:
        return {"drawn": float(torch.rand(()))} | ({} if quick else {"slow": 3.0})

    def count(_: bool) -> dict[str, float]:
        return {"copies": 4.0, "free": 1.0}

    parts = {
        "drawing": Part(measure=draw, at_most={"drawn": 1.0}, at_least={"drawn": 0.0, "slow": 2.0}),
        "counting": Part(measure=count, at_most={"copies": 8.0}),
    }
    parts |= more
    code = main(list(given), parts)
    *lines, last = capsys.readouterr().out.splitlines()
    return code, lines, json.loads(last)


def test_the_last_line_has_every_figure_its_bounds_and_whether_they_are_met(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, lines, report = run_bench(capsys)
    assert code == 0
    assert report["ok"] is True
    assert report["figures"].keys() == {"drawn", "slow", "copies", "free"}
    assert report["bounds"]["at_least"] == {"drawn": 0.0, "slow": 2.0}
    assert report["met"] == {"drawn": True, "slow": True, "copies": True}
    assert "  pass                  4  copies: at most 8" in lines
    assert "                        1  free" in lines


def test_a_part_alone_gives_what_it_gives_among_others(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, together = run_bench(capsys)
    _, lines, alone = run_bench(capsys, "--only", "drawing")
    assert alone["figures"] == {name: together["figures"][name] for name in ("drawn", "slow")}
    assert alone["bounds"]["at_most"] == {"drawn": 1.0}
    assert not any("copies" in line for line in lines)


def test_what_quick_leaves_out_is_null_and_judged_by_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, lines, report = run_bench(capsys, "--quick")
    assert code == 0
    assert report["figures"]["slow"] is report["met"]["slow"] is None
    assert "  not measured             slow: at least 2" in lines


def test_a_part_that_raises_or_misses_a_bound_fails_the_bench_and_no_other_part(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from tests.bench.gpu_ready.part import Part

    def fail(_: bool) -> dict[str, float]:
        raise RuntimeError("a cause\nand more")

    code, lines, report = run_bench(capsys, broken=Part(measure=fail, at_most={"lost": 1.0}))
    assert (code, report["ok"]) == (1, False)
    assert report["failed"] == {"broken": "RuntimeError: a cause"}
    assert report["met"]["lost"] is None
    assert report["met"]["copies"] is True
    assert "# broken: RuntimeError: a cause" in lines
    over = Part(measure=lambda _: {"launches": 9.0}, at_most={"launches": 8.0})
    code, lines, report = run_bench(capsys, launching=over)
    assert (code, report["ok"], report["met"]["launches"]) == (1, False, False)
    assert "  FALLS SHORT           9  launches: at most 8" in lines


def test_two_parts_with_one_figure_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.bench.gpu_ready.part import Part

    with pytest.raises(ValueError, match="again has figures of another part: copies"):
        run_bench(capsys, again=Part(measure=lambda _: {"copies": 1.0}))
