"""The model card's evaluation block."""

import yaml

from kvdistill.report.model_card import write_model_card
from tests.stats import fake


def export_run(tmp_path, card=None):
    fake.write_run(tmp_path / "seed42-ab", {"one": [1, 0, 1, 1], "two": [0, 1]})
    model = tmp_path / "seed42-ab" / "model"
    model.mkdir()
    if card is not None:
        (model / "README.md").write_text(card, encoding="utf-8")
    return tmp_path / "seed42-ab"


def read_front_matter(path):
    return yaml.safe_load(path.read_text(encoding="utf-8").split("---\n")[1])


def test_scores_stand_in_the_hubs_format(tmp_path):
    (entry,) = read_front_matter(write_model_card(export_run(tmp_path)))["model-index"]
    assert entry["name"] == "seed42-ab"
    first = entry["results"][0]
    assert first["dataset"]["name"] == "one"
    assert first["metrics"][0]["value"] == 75.0
    assert entry["results"][-1]["dataset"]["name"] == "macro average"
    assert entry["results"][-1]["metrics"][0]["value"] == 62.5


def test_what_else_the_card_says_is_kept(tmp_path):
    path = write_model_card(export_run(tmp_path, "---\nlicense: mit\n---\n# A student\n\nText.\n"))
    assert read_front_matter(path)["license"] == "mit"
    assert "# A student" in path.read_text(encoding="utf-8")
    assert "| one | 75.0 | 4 |" in path.read_text(encoding="utf-8")


def test_twice_is_the_same_as_once(tmp_path):
    folder = export_run(tmp_path, "# A student\n")
    once = write_model_card(folder).read_text(encoding="utf-8")
    assert write_model_card(folder).read_text(encoding="utf-8") == once


def test_a_run_without_a_model_has_no_card(tmp_path):
    fake.write_run(tmp_path / "r", {"one": [1]})
    assert write_model_card(tmp_path / "r") is None
