"""launch.py as a user calls it, on the nano scale shrunk to seconds."""

import json
import shutil
from pathlib import Path

import pytest

from tests.launch_server import launch

pytestmark = pytest.mark.integration
TINY = [
    "data.source.rows=40",
    "budget.total_tokens=12288",
    "budget.batch_size=16",
    "train.calibration_rows=8",
    "train.eval_steps=6",
    "train.save_steps=6",
    "tasks=quick",
    "teachers.a.build.training.steps=2",
]
FEW = TINY[0]
"""For what is refused only when the parts are built: until then a plan counts its texts."""
TWO = [*TINY, "teachers.b.build.training.steps=2"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fusions of two teachers, one seed."""
    root = tmp_path_factory.mktemp("root")
    done = launch("-m", f"root={root}", *TWO, "fusion=fixed,learnable", "seed=0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": done, 0 left" in done.stderr
    assert "fusion=learnable" in done.stdout
    assert str(root / "runs/nano/report/index.html") in done.stdout
    return root


def entries(root: Path) -> dict[str, dict]:
    runs: dict[str, dict] = json.loads((root / "runs/nano/plan.json").read_text())["runs"]
    return runs


def list_trained_runs(root: Path) -> list[Path]:
    return [root / entry["folder"] for entry in entries(root).values() if entry["trained"]]


def test_every_run_leaves_its_records(study: Path) -> None:
    for folder in list_trained_runs(study):
        names = {path.name for path in folder.iterdir()}
        assert {"config.yaml", "manifest.json", "results.json", "items.parquet", "model"} <= names
        assert {"curves.jsonl", "routing.json", "status.json"} <= names
        assert {"kv_loss_curves.png", "task_accuracy_curves.png", "dual_axis_curve.png",
                "overfitting_analysis.png"} <= names  # fmt: skip
        results = json.loads((folder / "results.json").read_text())
        assert len(results["tasks"]) == 7
        assert results["macro"] is not None


def test_all_arms_took_the_planned_steps_on_the_same_texts(study: Path) -> None:
    ledgers = [
        json.loads((f / "manifest.json").read_text())["ledger"] for f in list_trained_runs(study)
    ]
    assert {ledger["steps"] for ledger in ledgers} == {12}
    assert {ledger["sequences"] for ledger in ledgers} == {12 * 16}
    assert len({ledger["real_tokens"] for ledger in ledgers}) == 1


def test_the_students_parameter_count_does_not_change(study: Path) -> None:
    for folder in list_trained_runs(study):
        ledger = json.loads((folder / "manifest.json").read_text())["ledger"]
        assert ledger["parameters_before"] == ledger["parameters_after"]


def test_the_split_and_each_teacher_were_built_once(study: Path) -> None:
    kinds = [path.name.split("-")[0] for path in (study / "artifacts").iterdir() if path.is_dir()]
    assert kinds.count("split") == 1
    assert kinds.count("model") == 3


def test_validation_says_the_halves_are_disjoint(study: Path) -> None:
    report = json.loads((study / "runs/nano/validation_report.json").read_text())
    assert report["verdict"] == "clean"


def stamps(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("manifest.json")}


def test_repeating_the_command_computes_nothing(study: Path) -> None:
    before = stamps(study)
    done = launch("-m", f"root={study}", *TWO, "fusion=fixed,learnable", "seed=0")
    assert done.returncode == 0, done.stderr
    assert "to run" not in done.stdout
    assert "to build" not in done.stdout
    assert stamps(study) == before


def test_a_students_card_holds_its_scores(study: Path) -> None:
    for folder in list_trained_runs(study):
        card = (folder / "model/README.md").read_text(encoding="utf-8")
        assert "model-index" in card
        assert "| macro average |" in card


def test_a_finished_run_and_a_model_by_path_are_evaluated_on_another_suite(study: Path) -> None:
    folder = list_trained_runs(study)[0]
    quick = ["stage=evaluate", f"root={study}", *TINY, "tasks.limit=2", "tasks.name=two"]
    done = launch(*quick, f"evaluate.run={folder.name}")
    assert done.returncode == 0, done.stderr
    (made,) = (study / "runs/evaluated-two/runs").glob("untrained-*/results.json")
    results = json.loads(made.read_text())
    assert {task["n"] for task in results["tasks"].values()} == {2}
    # The same weights are one model, by whatever name.
    again = launch(*quick, f"evaluate.model={folder / 'model'}")
    assert again.returncode == 0, again.stderr
    assert len(list((study / "runs/evaluated-two/runs").glob("untrained-*/"))) == 1


def test_studies_are_joined_in_one_report_at_a_place_of_ones_own(study: Path) -> None:
    output = study / "joined"
    both = "study=[nano,evaluated-two]"
    done = launch("stage=report", f"root={study}", both, f"report.output={output}")
    assert done.returncode == 0, done.stderr
    page = (output / "index.html").read_text(encoding="utf-8")
    assert "nano + evaluated-two" in page


def test_a_lost_run_is_done_again_to_the_same_bits(study: Path) -> None:
    folder = list_trained_runs(study)[0]
    weights = (folder / "model/model.safetensors").read_bytes()
    others = {path: stamp for path, stamp in stamps(study).items() if str(folder) not in path}
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.name != "config.yaml":
            path.rmdir() if path.is_dir() else path.unlink()
    done = launch("-m", f"root={study}", *TWO, "fusion=fixed,learnable", "seed=0")
    assert done.returncode == 0, done.stderr
    assert (folder / "model/model.safetensors").read_bytes() == weights
    assert {p: s for p, s in stamps(study).items() if str(folder) not in p} == others


def test_an_altered_artefact_is_named_and_refused(study: Path) -> None:
    split = next((study / "artifacts").glob("split-*"))
    path = split / "val.jsonl"
    kept = path.read_bytes()
    path.write_bytes(kept + b"\n")
    try:
        done = launch(f"root={study}", *TINY, "arm=single_teacher", "seed=9")
    finally:
        path.write_bytes(kept)
    assert done.returncode == 1
    assert "val.jsonl is altered since it was built" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fusion=mena"], "fusion=mena is no choice of fusion"),
        (["fusion.wieghts=null"], "Did you mean fusion.weights?"),
        ([FEW, "fusion.weights=[0.5,0.4]"], "must sum to 1"),
        ([FEW, "fusion.weights=[0.2,0.3,0.5]"], "3 weights for 2 teachers"),
        (
            [FEW, "fusion=similarity", "fusion.temperature=hot"],
            "fusion.temperature='hot' must be a num",
        ),
        (["fusion=null"], "fusion=null is no choice of fusion"),
        (["-m", "seed=1,2", "fusion=fixed,3"], "fusion=3 is no choice of fusion"),
        (["+foo=1"], "foo is no setting"),
        (["-m", "fusion=fixed,mena"], "fusion=mena is no choice of fusion"),
        (["sweep=baselines", "layers.range=0-12"], "layers.range"),
        (["layers.range=0-12"], "layers.range"),
        (["arm=single_teacher", "teachers=cross_family"], "contradicts arm=single_teacher"),
        (["data=jsonl", "data.source.path=/nowhere.jsonl"], "/nowhere.jsonl does not exist"),
        (["budget.total_tokens=0"], "budget.total_tokens must be positive, got 0"),
        (["budget.total_tokens=10"], "less than one step"),
        (["student.dtype=float64"], "student.dtype=float64 is none of float32"),
        (["-m", "cluster.threads=1,2"], "cluster cannot be swept"),
        (["stats.confidence=95"], "stats.confidence must be in [0.5, 1), got 95"),
        (["stage=plan", "stats.seed=-1"], "stats.seed must be 0 or more"),
        (["stage=nonsense"], "stage=nonsense is no stage"),
        (["sweep=nosuch"], "sweep=nosuch is no file"),
        (["study=[a,b]"], "names several studies, which only stage=report joins"),
        (["stage=evaluate"], "exactly one of evaluate.run and evaluate.model"),
        (["stage=evaluate", "evaluate.run=abc"], "evaluate.run=abc is no finished run"),
        (["stage=evaluate", "evaluate.model=a/b"], "evaluate.revision must pin to a commit"),
        ([FEW, "projection=identity"], "projection=identity"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[-1],
)
def test_bad_input_gets_one_line_and_exit_code_2(
    arguments: list[str], says: str, tmp_path: Path
) -> None:
    done = launch(*arguments, f"root={tmp_path}")
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(300)
def test_two_ranks_do_a_run_as_one_process_does(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study / "artifacts", tmp_path / "artifacts")
    divided = ["budget.batch_size=8", "budget.num_gpus=2", "fusion=learnable", "seed=0"]
    done = launch(f"root={tmp_path}", *TWO, *divided, "references=false")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "to build" not in done.stdout
    (folder,) = list_trained_runs(tmp_path)
    # How ranks divide a batch is execution, no part of a run's identity.
    assert folder.name in {path.name for path in list_trained_runs(study)}
    manifests = [
        json.loads((root / f"runs/nano/runs/{folder.name}/manifest.json").read_text())
        for root in (tmp_path, study)
    ]
    assert [manifest["ranks"] for manifest in manifests] == [2, 1]
    for key in ("steps", "sequences", "real_tokens", "planned_tokens"):
        assert manifests[0]["ledger"][key] == manifests[1]["ledger"][key]
    lines = [
        [json.loads(line) for line in (root / "curves.jsonl").read_text().splitlines()]
        for root in (folder, study / "runs/nano/runs" / folder.name)
    ]
    assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]]
    losses = [[line for line in each if "ce" in line] for each in lines]
    assert losses[0]
    for one, other in zip(*losses, strict=True):
        assert one["ce"] == pytest.approx(other["ce"], rel=1e-4)
        assert one["kv"] == pytest.approx(other["kv"], rel=1e-3)
