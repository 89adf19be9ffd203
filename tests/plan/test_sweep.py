"""Which points of a sweep file are asked for, and what it refuses."""

from pathlib import Path

import pytest

FILE = """
question: q
arms:
  one: {arm: single_teacher}
  two: {arm: multi_teacher}
axes:
  kv: [k, v]
  compression.keep: [0.5, 1.0]
seeds: [1, 2]
"""


def labels(folder: Path, extra: str) -> list[str]:
    from kvdistill.plan.sweep import read_sweep

    (folder / "s.yaml").write_text(FILE + extra)
    return [label for _, label, _ in read_sweep("s", folder).runs()]


def test_without_rules_a_sweep_is_the_whole_product(tmp_path: Path) -> None:
    assert len(labels(tmp_path, "")) == 8


def test_exclude_leaves_out_what_matches_every_key_of_a_rule(tmp_path: Path) -> None:
    remaining = labels(tmp_path, "exclude: [{arm: one, kv: v}, {compression.keep: 1.0}]")
    assert remaining == ["one kv=k compression.keep=0.5", "two kv=k compression.keep=0.5",
                     "two kv=v compression.keep=0.5"]  # fmt: skip


def test_only_keeps_what_matches_one_rule_and_is_not_excluded(tmp_path: Path) -> None:
    remaining = labels(
        tmp_path, "only: [{kv: k}, {arm: two}]\nexclude: [{compression.keep: [1.0]}]"
    )
    assert remaining == ["one kv=k compression.keep=0.5", "two kv=k compression.keep=0.5",
                     "two kv=v compression.keep=0.5"]  # fmt: skip


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ("exclude: [{arms: one}]", r"must map some of \['arm', 'compression.keep', 'kv'\]"),
        ("only: [{kv: both}]", "kv=both is no value of kv"),
        ("only: [{}]", "must map"),
        ("resources: {three: {gpus: 1}}", "resources.three is no arm"),
        ("only: [{kv: k}]\nexclude: [{kv: k}]", "leave no point"),
    ],
)
def test_a_rule_that_can_match_nothing_is_refused(tmp_path: Path, extra: str, says: str) -> None:
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=says):
        labels(tmp_path, extra)


@pytest.mark.integration
@pytest.mark.usefixtures("hydra")
def test_several_sweeps_are_one_study_of_several_questions() -> None:
    from kvdistill.plan.expand import expand_command

    sweeps = Path(__file__).parents[2] / "sweeps"
    both = expand_command([["sweep=[baselines,controls]"]], sweeps)
    assert list(both.questions) == ["baselines", "controls"]
    assert set(both.runs) == {
        run
        for name in ("baselines", "controls")
        for run in expand_command([[f"sweep={name}"]], sweeps).runs
    }


@pytest.mark.integration
@pytest.mark.usefixtures("hydra")
def test_an_arms_resources_reach_its_runs_and_no_identity(tmp_path: Path) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.plan.expand import expand_command

    def plan(extra: str):
        (tmp_path / "s.yaml").write_text(FILE + extra)
        return expand_command([["sweep=s"]], tmp_path)

    bare, with_resources = plan(""), plan("resources: {two: {mem_gb: 4, gpus: 1}}")
    assert set(bare.runs) == set(with_resources.runs)
    wanting = {run.config["arm"] for run in with_resources.runs.values() if run.resources}
    assert wanting == {"multi_teacher"}
    with pytest.raises(ConfigError, match=r"sweep=s: resources.two: memory is no resource"):
        plan("resources: {two: {memory: 4}}")
    with pytest.raises(ConfigError, match=r"resources.two.mem_gb: Value 'lots'"):
        plan("resources: {two: {mem_gb: lots}}")


@pytest.mark.parametrize("name", ["../s", "/etc/hosts", "a/b", "..", "", "s\n"])
def test_a_sweep_is_a_plain_name(name: str, tmp_path: Path) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.plan.sweep import load_sweep_file

    folder = tmp_path / "sweeps"
    (folder / "a").mkdir(parents=True)
    for place in (tmp_path / "s.yaml", folder / "s\n.yaml", folder / "a/b.yaml", folder / ".yaml"):
        place.write_text(FILE)
    with pytest.raises(ConfigError, match=r"is no file of"):
        load_sweep_file(name, folder)


@pytest.mark.parametrize(
    "line",
    ["trust: [a/b]", "hydra.callbacks: {}", "+hydra.job.env_set.A: 1", "cluster.setup: [x]",
     "root: /elsewhere"],
)  # fmt: skip
def test_a_sweep_says_nothing_that_only_a_command_may(line: str, tmp_path: Path) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.plan.sweep import read_sweep

    (tmp_path / "s.yaml").write_text(f"arms: {{a: {{{line}}}}}\n")
    with pytest.raises(ConfigError, match=r"s\.yaml: .* is no setting of a sweep"):
        read_sweep("s", tmp_path)
    (tmp_path / "s.yaml").write_text("arms: {a: {}}\nresources: {a: {setup: [touch x]}}\n")
    with pytest.raises(ConfigError, match=r"s\.yaml: resources\.a\.setup is shell"):
        read_sweep("s", tmp_path)
