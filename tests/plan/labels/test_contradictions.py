"""What a command may change of a sweep, and what its arms and axes promise."""

from pathlib import Path

import pytest

SWEEPS = Path(__file__).parents[3] / "sweeps"
FILE = """
question: Which weight?
arms:
  kv: {arm: single_teacher, layers/map: anchors, layers.map.anchors: "0:0"}
axes:
  loss.kv_weight: [0.3, 1.0]
"""
pytestmark = pytest.mark.usefixtures("hydra")


def check(tmp_path: Path, name: str, *overrides: str) -> None:
    from kvdistill.plan.labels.contradictions import check_overrides
    from kvdistill.plan.sweep import read_sweep

    (tmp_path / "own.yaml").write_text(FILE)
    folder = SWEEPS if (SWEEPS / f"{name}.yaml").exists() else tmp_path
    check_overrides(read_sweep(name, folder), overrides)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("sweep", "override", "arm", "setting"),
    [
        ("ablation_routing", "fusion=fixed", "learnable", "fusion=learnable"),
        ("ablation_routing", "arm=aa", "fixed", "arm=multi_teacher"),
        ("ablation_kv", "kv.keys=0.0", "k", "kv=k"),
        ("ablation_layers", "layers.range=0-1", "shallow", "layers=shallow"),
        ("ablation_routing", "fusion.weights=[0.1,0.9]", "fixed", "fusion=fixed"),
        ("own", "loss.kv_weight=3", "kv loss.kv_weight=0.3", "loss.kv_weight=0.3"),
        ("own", "++loss.kv_weight=1.0", "kv loss.kv_weight=0.3", "loss.kv_weight=0.3"),
        ("own", "layers.map.anchors='0:1'", "kv loss.kv_weight=0.3", "layers.map.anchors='0:0'"),
        ("own", "layers/map=reversed", "kv loss.kv_weight=0.3", "layers/map=anchors"),
    ],
)
def test_it_is_refused_by_name(
    tmp_path: Path, sweep: str, override: str, arm: str, setting: str
) -> None:
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError) as refusal:
        check(tmp_path, sweep, override, "budget.total_tokens=8192")
    assert str(refusal.value).startswith(
        f"{override} contradicts sweep={sweep}, whose arm {arm} sets {setting}. Drop the override"
    )


@pytest.mark.integration
@pytest.mark.parametrize(
    ("sweep", "overrides"),
    [
        ("ablation_routing", ["budget.total_tokens=8192", "train.lr=0.1", "scale=paper"]),
        ("ablation_routing", ["compression=full", "loss.kv_weight=3.0", "data.split.seed=3"]),
        ("ablation_layers", ["layers/map=reversed"]),  # alike for all its arms
        ("ablation_teacher_family", ["teachers.a.placement.device=cpu"]),  # execution
        ("miniature", ["budget.num_gpus=2", "budget.batch_size=16", "student.dtype=float32"]),
        ("own", ["layers/map=anchors", "layers.map.anchors='0:0'"]),  # as the arm has it
    ],
)
def test_what_no_arm_promises_stays_free(tmp_path: Path, sweep: str, overrides: list[str]) -> None:
    check(tmp_path, sweep, *overrides)


def test_nothing_is_composed_where_an_override_touches_no_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.plan.labels import contradictions

    monkeypatch.setattr(contradictions, "compose", lambda _: pytest.fail("composed"))
    check(tmp_path, "own", "budget.total_tokens=8192", "loss.ce_weight=1.0", "cluster.threads=1")


def test_a_command_is_refused_before_anything_is_planned(tmp_path: Path) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.plan.expand import expand_command

    jobs = [
        [f"root={tmp_path}", "sweep=ablation_routing", f"fusion={f}"]
        for f in ("fixed", "learnable")
    ]
    with pytest.raises(ConfigError, match=r"^fusion=fixed contradicts sweep=ablation_routing"):
        expand_command(jobs, SWEEPS)


@pytest.mark.parametrize(
    ("arm", "axes", "message"),
    [
        ("{arm: sft, train.lr: 1.0}", "{train.lr: [1.0]}", "and train.lr sets it again as an axis"),
        ("{arm: sft, train.lr: 1.0, ++train.lr: 2.0}", "{}", "and ++train.lr sets it again"),
        ("{arm: sft}", "{train.lr: [1.0], +train.lr: [2.0]}", "+train.lr sets it again as an axis"),
        ("{arm: sft, seed: 7}", "{}", "seed is no setting of an arm"),
        ("{arm: sft, study: other}", "{}", "study is no setting of a sweep"),
    ],
)  # fmt: skip
def test_a_file_that_contradicts_itself_is_refused(
    tmp_path: Path, arm: str, axes: str, message: str
) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.plan.sweep import read_sweep

    (tmp_path / "s.yaml").write_text(f"question: q\narms:\n  one: {arm}\naxes: {axes}\n")
    with pytest.raises(ConfigError) as refusal:
        read_sweep("s", tmp_path)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("train.lr=1", "train.lr"),
        ("++train.lr=1", "train.lr"),
        ("~fusion", "fusion"),
        ("layers/map=all", "layers.map"),
        ("teacher@teachers.a=x", "teachers.a"),
    ],
)
def test_the_path_that_an_override_sets(override: str, path: str) -> None:
    from kvdistill.plan.sweep import read_setting_path

    assert read_setting_path(override) == path
