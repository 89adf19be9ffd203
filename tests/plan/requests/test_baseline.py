"""baseline=ARM: one arm that joins a command's own, a run a seed, and that they stand beside."""

from pathlib import Path

import pytest

SWEEPS = Path(__file__).parents[3] / "sweeps"
pytestmark = pytest.mark.usefixtures("hydra")
NINE = [
    [f"fusion={fusion}", f"seed={seed}", "baseline=sft"]
    for fusion in ("fixed", "similarity", "learnable")
    for seed in (42, 43, 44)
]


def expand_jobs(root: Path, *jobs: list[str]):
    from kvdistill.plan.expand import expand_command

    return expand_command([[f"root={root}", *job] for job in jobs], SWEEPS)


def test_it_is_a_run_a_seed_whatever_the_command_varies(tmp_path: Path) -> None:
    plan = expand_jobs(tmp_path, *NINE)
    question = plan.questions["fusion"]
    assert list(question.arms) == [
        "sft", "fusion=fixed", "fusion=similarity", "fusion=learnable",
    ]  # fmt: skip
    assert [list(seeds) for seeds in question.arms.values()] == 4 * [["42", "43", "44"]]
    alone = expand_jobs(tmp_path, ["arm=sft", "seed=43"])
    assert question.arms["sft"]["43"] in alone.runs
    assert {run.steps for run in plan.runs.values() if run.config["trained"]} == {300}


@pytest.mark.integration
def test_the_others_are_compared_with_it_though_it_joined_later(tmp_path: Path) -> None:
    from kvdistill import layout
    from kvdistill.plan.code.accepted import AcceptedCode
    from kvdistill.plan.freeze import freeze_plan
    from kvdistill.plan.study_plan import StudyPlan
    from kvdistill.stats.load import read_question
    from kvdistill.stats.study import Run

    freeze_plan(expand_jobs(tmp_path, *[job[:2] for job in NINE]))
    freeze_plan(expand_jobs(tmp_path, *NINE))
    node = StudyPlan.read(layout.study_folder(tmp_path, "nano")).questions["fusion"].to_json()
    assert list(node["arms"])[-1] == "sft"
    identities = [identity for seeds in node["arms"].values() for identity in seeds.values()]
    runs = {i: Run(identity=i, folder=tmp_path, arm="", seed=0, trained=True) for i in identities}
    assert read_question("fusion", node, runs, AcceptedCode()).baseline == "sft"


def test_it_takes_what_the_command_sets_but_for_how_its_arms_are_taught(tmp_path: Path) -> None:
    shared = ["loss.ce_weight=2", "train.lr=0.01", "data.source.rows=100"]
    taught = [
        "logits=jsd", "teachers.a.build.training.steps=3", "compression.keep=0.3",
        "layers.range=0-2", "source.read=live", "loss=gram",
    ]  # fmt: skip
    plan = expand_jobs(tmp_path, [*shared, *taught, "baseline=sft"])
    (identity,) = plan.questions["runs"].arms["sft"].values()
    alone = expand_jobs(tmp_path, [*shared, "arm=sft"])
    assert identity in alone.runs


@pytest.mark.parametrize(
    ("jobs", "says"),
    [
        ([["sweep=treatments", "baseline=sft"]], r"and sweep=treatments declares its own"),
        ([["arm=sft", "baseline=sft"]], r"would compare arm=sft with itself"),
        ([["baseline=multi_teacher"]], r"would compare arm=multi_teacher with itself"),
        ([["baseline=nosuch"]], r"baseline=nosuch: arm=nosuch is no choice of arm"),
        ([["baseline=[sft]"]], r"baseline=\[sft\] must be the name of one arm"),
        (
            [["train.lr=0.1", "baseline=sft"], ["train.lr=0.2", "baseline=sft"]],
            r"varies train.lr, and the baseline has that too",
        ),
    ],
)
def test_where_it_makes_no_sense_it_is_refused(
    tmp_path: Path, jobs: list[list[str]], says: str
) -> None:
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=says):
        expand_jobs(tmp_path, *jobs)
