"""Every benchmark read from a hub that has it in the files that the real one has."""

import pytest

from kvdistill.errors import ConfigError
from kvdistill.evaluate.harness import load_tasks
from kvdistill.evaluate.isolation import silence_lm_eval
from kvdistill.evaluate.results import hash_task_rows
from kvdistill.evaluate.suite import Suite
from kvdistill.evaluate.task_data import read_jsonl
from tests.evaluate.tiny_models import list_subjects
from tests.hub_server import (
    make_commit,
    open_hub,
    write_archive,
    write_csv,
    write_lines,
    write_parquet,
)

TASKS = ["gsm8k", "math500", "bbh", "gpqa", "truthfulqa", "cmmlu", "ceval"]


def publish(hub, root):
    """Puts the rows below a data root on a hub, each benchmark in its own layout."""
    for split in ("train", "test"):
        rows = read_jsonl(root / f"gsm8k/main/{split}.jsonl")
        write_parquet(hub / f"openai/gsm8k/main/{split}-00000-of-00001.parquet", rows)
    write_lines(hub / "HuggingFaceH4/MATH-500/test.jsonl", read_jsonl(root / "math500/test.jsonl"))
    for subject in list_subjects("bbh"):
        rows = read_jsonl(root / f"bbh/{subject}/test.jsonl")
        write_parquet(hub / f"SaylorTwift/bbh/{subject}/test-00000-of-00001.parquet", rows)
    rows = read_jsonl(root / "gpqa/gpqa_main/train.jsonl")
    write_csv(hub / "Idavidrein/gpqa/gpqa_main.csv", rows)
    rows = read_jsonl(root / "truthfulqa/multiple_choice/validation.jsonl")
    place = "truthfulqa/truthful_qa/multiple_choice/validation-00000-of-00001.parquet"
    write_parquet(hub / place, rows)
    for repo, archive, folder, split, name in (
        ("haonan-li/cmmlu", "cmmlu_v1_0_1.zip", "cmmlu", "test", "{split}/{subject}.csv"),
        ("ceval/ceval-exam", "ceval-exam.zip", "ceval", "val", "{split}/{subject}_{split}.csv"),
    ):
        members = {
            name.format(split=part, subject=subject): read_jsonl(
                root / f"{folder}/{subject}/{part}.jsonl"
            )
            for subject in list_subjects(folder)
            for part in ("dev", split)
        }
        write_archive(hub / repo / archive, members)
        # A loader in Python beside its archive, which `datasets` refuses to run.
        (hub / repo / f"{repo.split('/')[1]}.py").write_text("import datasets\n")


@pytest.fixture
def hub(tmp_path, monkeypatch, benchmarks):
    with open_hub(tmp_path, monkeypatch) as server:
        publish(server.folder, benchmarks)
        yield server


def load_hashes(**where):
    suite = Suite(name="h", tasks=TASKS, shots={"cmmlu": 2, "ceval": 2}, **where)
    with silence_lm_eval():
        tasks, missing = load_tasks(suite, {})
    return {name: hash_task_rows(name, tasks) for name in tasks}, missing


@pytest.mark.integration
def test_all_seven_are_the_same_rows_from_the_hub_as_from_a_local_copy(hub, benchmarks):
    from_hub, missing = load_hashes()
    assert not missing
    assert from_hub == load_hashes(data_root=str(benchmarks))[0]
    assert list(from_hub) == TASKS


@pytest.mark.integration
def test_what_is_gated_is_missing_by_name_with_the_way_to_it_and_the_rest_is_read(hub):
    hub.gated = ("Idavidrein/gpqa",)
    hashes, missing = load_hashes()
    assert list(missing) == ["gpqa"]
    assert len(hashes) == 6
    for words in ("GatedRepoError", "accept its terms", "HF_TOKEN", "tasks.data_root"):
        assert words in missing["gpqa"]


@pytest.mark.integration
def test_rows_are_those_of_the_commit_that_the_plan_pinned(hub):
    folder = hub.folder / "HuggingFaceH4/MATH-500"
    first, commit = load_hashes()[0], make_commit(folder)
    write_lines(folder / "test.jsonl", read_jsonl(folder / "test.jsonl")[:2])
    assert load_hashes(revisions={"HuggingFaceH4/MATH-500": commit})[0] == first


def test_rows_of_another_benchmark_are_refused_with_the_columns_they_have(hub):
    write_lines(hub.folder / "HuggingFaceH4/MATH-500/test.jsonl", [{"prompt": "x", "level": 1}])
    with pytest.raises(
        ConfigError, match=r"MATH-500 .*row 1: no problem and .* only prompt, level"
    ):
        load_hashes()
