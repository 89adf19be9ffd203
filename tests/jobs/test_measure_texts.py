"""What a plan is told of its texts, and what a job refuses of them, before anything trains."""

import json

import pytest
from hydra import compose
from omegaconf import OmegaConf

from kvdistill import manifest
from kvdistill.config.build import build_node
from kvdistill.data.packing import LEAST_REAL
from kvdistill.data.split import Split, write_split
from kvdistill.errors import ArtifactError, ConfigError
from kvdistill.geometry import Geometry
from kvdistill.jobs.measure_texts import measure_all
from kvdistill.train.inputs import read_texts
from tests.data.factories import make_record

BATCHES = {"batch_size": 4, "global_batch": 8, "group_by_length": False, "packing": False}
LONG = "a question with so many words that no token of any answer to it is left " * 4


@pytest.fixture
def config(hydra):
    node = OmegaConf.to_container(compose("config", overrides=["arm=sft"]), resolve=True)
    return {key: node[key] for key in ("student", "teachers", "style", "budget")}


@pytest.fixture
def split(tmp_path):
    """Eight questions of which three are long, in every part."""
    records = [make_record(n, question=f"{LONG}{n}" if n < 3 else None) for n in range(8)]
    folder = tmp_path / "split"
    write_split(Split(records, records, records, records), folder)
    manifest.write_manifest(folder, "split", {}, {})
    return folder


def test_both_parts_are_measured_by_a_tokenizer_made_of_the_split(config, split):
    request = {key: config[key] for key in ("student", "style")}
    request |= {"seq_len": 64, "split": str(split), "model": None, "batches": BATCHES}
    [answer] = measure_all(json.loads(json.dumps([request])))
    # Both styles of each record are texts.
    counts = {"texts": 16, "truncated": 6, "unanswered": 6}
    assert answer["parts"] == {"train_student": counts, "val": counts}
    with (split / "val.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n")
    with pytest.raises(ArtifactError, match=r"val\.jsonl is altered since it was built"):
        measure_all([request])


def test_the_real_share_is_that_of_the_batches_that_are_read(config, split):
    request = {key: config[key] for key in ("student", "style")}
    request |= {"seq_len": 64, "split": str(split), "model": None}
    shares = {}
    for settings in ({}, {"group_by_length": True}, {"packing": True}, {"batch_size": 1}):
        [answer] = measure_all([request | {"batches": BATCHES | settings}])
        shares[tuple(settings)] = answer["real_share"]
    plain, grouped, packed, alone = shares.values()
    assert plain["share"] < grouped["share"] < 1
    # A packed batch has next to no padding, whatever it holds; a text alone has none.
    assert packed["share"] == packed["packed"] == plain["packed"] >= LEAST_REAL
    assert alone["share"] == 1


@pytest.mark.parametrize("part", ["train_student", "train_teachers", "val"])
def test_a_job_refuses_texts_without_answers_before_it_trains(config, split, tmp_path, part):
    maker = build_node("student.build", config["student"]["build"])
    tokenizer = maker.make_tokenizer(Geometry.from_node(config["student"]), split)
    tokenizer.save_pretrained(tmp_path / "model" / "model")
    needs = {"split": split, "student": tmp_path / "model"}
    with pytest.raises(ConfigError, match=rf"6 of 16 texts of {part} .* budget.max_unanswered"):
        read_texts(config, needs, part, None)
    config["budget"]["max_unanswered"] = 0.5
    texts, _ = read_texts(config, needs, part, None)
    assert texts.measure_truncation().unanswered == 6
