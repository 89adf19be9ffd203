"""The worked examples of docs/adding.md, written out as they stand there and run."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.models.gguf_files import write_header

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adding.md"


def example(path: str) -> str:
    """The YAML that the page gives for a file."""
    text = PAGE.read_text(encoding="utf-8")
    (node,) = re.findall(rf"`{re.escape(path)}`:\n\n```yaml\n(.*?)```", text, re.DOTALL)
    return str(node)


def rows(path: Path, count: int = 60) -> None:
    made = [
        {"Problem": f"Ann has {n} pens and buys {n * n}.", "Steps": f"{n}+{n * n}={n + n * n}.",
         "Result": str(n + n * n)}
        for n in range(2, count + 2)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """Hydra on conf/ with the page's files added; what they call FOLDER is the folder returned."""
    from hydra import initialize_config_dir

    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    for name in re.findall(r"`(conf/[\w/]+\.yaml)`:\n\n```yaml", PAGE.read_text(encoding="utf-8")):
        made = tmp_path / name
        assert not made.exists(), f"{name} is a file of the project already"
        made.write_text(example(name).replace("FOLDER", str(tmp_path)), encoding="utf-8")
    rows(tmp_path / "mine.jsonl")
    with initialize_config_dir(str(tmp_path / "conf"), version_base="1.3"):
        yield tmp_path


@pytest.mark.usefixtures("hydra")
def test_the_ablation_is_planned_and_drawn_with_its_own_figure(tmp_path: Path) -> None:
    from kvdistill.plan.expand import expand_command
    from kvdistill.report.build import build_report
    from tests.house.test_sweeps import assert_claims_are_sound
    from tests.stats import fake

    sweeps = tmp_path / "sweeps"
    shutil.copytree(ROOT / "sweeps", sweeps)
    (sweeps / "ablation_keep.yaml").write_text(example("sweeps/ablation_keep.yaml"))
    plan = expand_command([["sweep=ablation_keep"]], sweeps)
    question = plan.questions["ablation_keep"]
    assert len(question.arms) == 3
    assert_claims_are_sound(question, list(question.arms))
    baselines = expand_command([["sweep=baselines"]], sweeps).questions["baselines"].arms
    assert question.arms["keep compression.keep=0.5"] == baselines["single_teacher"]

    levels = dict(zip(question.arms, (-0.2, 0.0, 0.1), strict=True))
    study = fake.write_study(
        tmp_path, {"ablation_keep": levels}, judged={"ablation_keep": question.judging}
    )  # fmt: skip
    page = build_report([study], study / "report").read_text(encoding="utf-8")
    assert (study / "report/figures/ablation_keep_std.svg").is_file()
    assert "a quarter is enough" in page
    (verdict,) = json.loads((study / "report/verdicts.json").read_text())["claims"]
    assert verdict["measured"]["estimate"] is not None


def test_the_teacher_is_read_pinned_and_fits(outside: Path) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.plan.expand import expand_command
    from kvdistill.train.preflight import check_run_config

    with pytest.raises(ConfigError, match="my-teacher does not exist"):
        expand_command([["teachers=with_own"]], outside)
    (outside / "my-teacher").mkdir()
    config = {
        "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 64,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 300,
        "tie_word_embeddings": True,
    }  # fmt: skip
    (outside / "my-teacher/config.json").write_text(json.dumps(config))
    plan = expand_command([["teachers=with_own"]], outside)
    assert list(plan.references) == ["nano-small", "my-teacher"]
    (run,) = [run for run in plan.runs.values() if run.config["trained"]]
    assert run.config["teachers"]["b"]["pretrained"]["sha256"]
    check_run_config(run.config)


def test_the_student_is_read_from_its_gguf_file(outside: Path) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.plan.expand import expand_command

    folder = outside / "my-student"
    folder.mkdir()
    geometry = yaml.safe_load(example("conf/student/own.yaml"))["geometry"]
    write_header(folder / "other.gguf", geometry)
    with pytest.raises(ConfigError, match=r"student\.pretrained\.gguf_file=tiny\.Q4_1\.gguf is no"):
        expand_command([["student=own", "arm=sft"]], outside)
    (folder / "other.gguf").rename(folder / "tiny.Q4_1.gguf")
    plan = expand_command([["student=own", "arm=sft"]], outside)
    (run,) = [run for run in plan.runs.values() if run.config["trained"]]
    assert run.config["student"]["pretrained"]["gguf_file"] == "tiny.Q4_1.gguf"


def test_the_dataset_becomes_a_split_and_the_task_scores_its_test_part(
    outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.config.build import build_node
    from kvdistill.config.compose import compose
    from kvdistill.data.build import DataSettings, build_data
    from kvdistill.evaluate import harness
    from tests.evaluate.tiny_models import byte_tokenizer, make_tiny_model

    config = compose(["data=mine", "tasks=mine"])
    settings: dict[str, Any] = {
        name: build_node(f"data.{name}", config["data"][name]) for name in ("split", "leakage")
    }
    source = build_node("data.source", config["data"]["source"])
    assert source.records()[0].question == "Ann has 2 pens and buys 4.\nGive a number."
    build_data(source, DataSettings(**settings), outside / "split")
    tasks = outside / "tasks"
    shutil.copytree(harness.TASKS, tasks)
    (tasks / "mine.yaml").write_text(example("src/kvdistill/evaluate/tasks/mine.yaml"))
    monkeypatch.setattr(harness, "TASKS", tasks)
    suite = build_node("tasks", config["tasks"])
    parts = {part: outside / "split" / f"{part}.jsonl" for part in ("test",)}
    loaded, missing = harness.load_tasks(suite, parts)
    written = (outside / "split/test.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(loaded["mine"].eval_docs) == len(written) > 0
    assert "mine" not in missing
    tokenizer = byte_tokenizer()
    scored = harness.evaluate(make_tiny_model(tokenizer), tokenizer, suite, parts)
    assert scored.tasks["mine"].n == len(written)
