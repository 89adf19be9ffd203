"""The report's folder: one offline page, the same bytes each time, and everything as files."""

import csv
import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import kvdistill
from kvdistill.errors import ArtifactError, ConfigError
from kvdistill.report.build import build_report, check_output
from kvdistill.stats.hypotheses import build_registration
from tests.report.conftest import HOSTILE
from tests.stats import fake

pytestmark = pytest.mark.integration

FIGURES = [
    "kv_loss_curves", "task_accuracy_curves", "dual_axis_curve", "overfitting_analysis",
    "ablation_layers_heatmap", "ablation_alignment_accuracy", "ablation_alignment_std",
    "ablation_compression_efficiency", "ablation_family_kv_loss",
    "fusion_forest", "fusion_bars", "fusion_radar", "fusion_routing_0",
]  # fmt: skip


def test_the_same_records_give_the_same_bytes(study, index_page, tmp_path):
    again = build_report([study], tmp_path / "again")
    first = {
        p.relative_to(index_page.parent): p for p in index_page.parent.rglob("*") if p.is_file()
    }
    second = {p.relative_to(again.parent): p for p in again.parent.rglob("*") if p.is_file()}
    assert set(first) == set(second)
    assert [n for n in first if first[n].read_bytes() != second[n].read_bytes()] == []


def test_a_folder_that_no_report_wrote_is_not_replaced(index_page, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"^report\.output=.* has a folder figures that no"):
        check_output(tmp_path)
    check_output(index_page.parent)


def test_the_page_is_small_and_asks_for_nothing(index_page):
    text = html.unescape(index_page.read_text(encoding="utf-8"))
    assert len(text.encode()) < 3_000_000
    assert re.findall(r"https?://", text) == []
    assert "default-src 'none'" in text
    assert "'unsafe-inline'" not in text.split("style-src-attr")[0]


def test_hostile_text_stands_nowhere_as_markup(index_page):
    text = index_page.read_text(encoding="utf-8")
    assert "<script>window" not in text
    assert "<img" not in text
    assert "<b onmouseover" not in text
    assert "\u202e" not in text
    assert "&lt;script&gt;window.pwned=1" in text
    assert "\u2039U+202E\u203a" in text
    assert HOSTILE not in text


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_of_the_study_is_a_file(index_page, name):
    folder = index_page.parent / "figures"
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / f"{name}.svg").read_text(encoding="utf-8").startswith("<svg")


def test_tables_are_files_in_three_formats(index_page):
    tables = index_page.parent / "tables"
    with (tables / "fusion_scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0][0] == "arm"
    assert rows[0][-1] == "average"
    assert len(rows) == 4
    assert r"\toprule" in (tables / "fusion_scores.tex").read_text(encoding="utf-8")
    assert "| ---: |" in (tables / "fusion_scores.md").read_text(encoding="utf-8")


def test_the_long_table_is_parquet(index_page):
    table = pd.read_parquet(index_page.parent / "results.parquet")
    assert {"question", "arm", "seed", "endpoint", "score", "n"} <= set(table.columns)
    assert set(table["endpoint"]) == {*fake.TASKS, "macro"}


def test_the_example_for_pandas_in_the_docs_reads_it(index_page, capsys):
    guide = (Path(__file__).parents[2] / "docs/study.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(import pandas.*?)```", guide, flags=re.DOTALL)
    names: dict = {}
    exec(example.replace("runs/nano/report", str(index_page.parent)), names)
    assert "fusion=fixed" in capsys.readouterr().out
    assert names["scores"]["mean"].loc[("fusion", "fusion=fixed"), "macro"] > 0.2
    assert "arm" in names["table"]


def test_json_files_are_strict_and_versioned(index_page):
    for name in ("significance.json", "verdicts.json"):
        record = json.loads(
            (index_page.parent / name).read_text(), parse_constant=lambda x: pytest.fail(x)
        )
        assert record["schema_version"] == 1
    assert record["levels"]["ideal"] == "refuted (exploratory)"  # no manifest has the claim


def test_significance_lines_are_the_studys(index_page):
    text = (index_page.parent / "significance.txt").read_text(encoding="utf-8")
    pattern = r"average: \d+\.\d(\u00b1\d+\.\d)? \u2192 \d+\.\d\u00b1\d+\.\d \(p[=<]\d\.\d{3}"
    assert re.search(pattern, text)
    assert "*** p < .01" in text


def test_what_is_missing_is_named_where_it_would_stand(index_page):
    text = index_page.read_text(encoding="utf-8")
    assert "layers=all: seed 44 (running)" in text
    assert "missing: seed 44 (running)" in text


@pytest.mark.usefixtures("undrawn")
def test_a_study_with_nothing_finished_has_a_page(tmp_path):
    arms = {"a": 0.0, "b": 0.1}
    unfinished = [(arm, seed) for arm in arms for seed in (42, 43, 44)]
    folder = fake.write_study(tmp_path, {"q": arms}, unfinished=unfinished)
    page = build_report([folder], folder / "report").read_text(encoding="utf-8")
    assert "0</b> of 6 runs finished" in page


@pytest.mark.usefixtures("undrawn")
def test_one_run_alone_has_a_page(tmp_path):
    folder = fake.write_study(tmp_path, {"q": {"a": 0.0}}, seeds=(0,))
    page = build_report([folder], folder / "report").read_text(encoding="utf-8")
    assert "nothing to compare it with" in page


@pytest.mark.usefixtures("undrawn")
def test_several_studies_share_a_page(tmp_path):
    one = fake.write_study(tmp_path, {"q": {"a": 0.0}}, name="one")
    two = fake.write_study(tmp_path, {"r": {"a": 0.0, "b": 0.1}}, name="two")
    page = build_report([one, two], tmp_path / "joined").read_text(encoding="utf-8")
    assert "one + two" in page


@pytest.mark.usefixtures("undrawn")
def test_it_says_what_was_typed_and_what_rebuilds_it(tmp_path):
    folders = []
    for name, typed in (("one", ["python launch.py 'a=<b> c'"]), ("two", [])):
        folders.append(fake.write_study(tmp_path, {"q": {"a": 0.0}}, name=name))
        plan = json.loads((folders[-1] / "plan.json").read_text())
        fake.write_json(folders[-1] / "plan.json", plan | {"commands": typed})
    page = build_report(folders, tmp_path / "joined", {"confidence": 0.9, "hypotheses": []})
    section = page.read_text(encoding="utf-8").split('id="reproduce"')[1]
    commands = html.unescape(section.split("<pre>")[1].split("</pre>")[0])
    assert commands.splitlines() == [
        "python launch.py 'a=<b> c'",
        "python launch.py stage=report 'study=[one,two]' stats.confidence=0.9",
    ]


@pytest.mark.usefixtures("undrawn")
def test_the_selftest_is_shown_when_asked_for(tmp_path):
    folder = fake.write_study(tmp_path, {"q": {"a": 0.0, "b": 0.1}}, tasks={"one": 40, "two": 30})
    settings = {"selftest": True, "selftest_repetitions": 100}
    page = build_report([folder], folder / "report", settings).read_text(encoding="utf-8")
    assert 'id="selftest"' in page
    record = json.loads((folder / "report" / "selftest.json").read_text())
    assert {row["method"] for row in record["rows"]} >= {"recipe", "item_bootstrap", "paired_t"}


@pytest.mark.usefixtures("undrawn")
def test_a_rebuild_leaves_no_stale_figure(tmp_path):
    folder = fake.write_study(tmp_path, {"q": {"a": 0.0}}, seeds=(0,))
    stale = folder / "report" / "figures" / "old.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"")
    build_report([folder], folder / "report")
    assert not stale.exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"confidance": 0.9}, "stats.confidance is no setting"),
        ({"confidence": 95.0}, r"stats.confidence must be in \[0.5, 1\)"),
        ({"resamples": 10}, "stats.resamples must be from 999"),
        ({"resamples": 10**9}, "stats.resamples must be from 999"),
        ({"seed": -1}, "stats.seed must be 0 or more"),
        ({"detect": 0}, "stats.detect must be above 0"),
        ({"selftest": 1}, "stats.selftest=1 must be true or false"),
        ({"selftest_repetitions": 5}, "stats.selftest_repetitions must be from 100"),
        ({"confidence": "high"}, "stats.confidence='high' must be a number"),
        ({"hypotheses": [{"name": "F"}]}, "stats.hypotheses: a claim needs arm"),
        ({"criteria": [{"name": "F", "arm": "a"}]}, "stats.criteria.F: exactly one of at_least"),
        (
            {"criteria": [{"name": "F", "arm": "a", "at_least": "many"}]},
            "stats.criteria.at_least='many' must be a number",
        ),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_by_name(study, tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        build_report([study], tmp_path, settings)


def test_a_folder_without_a_plan_is_refused_by_name(tmp_path):
    with pytest.raises(ArtifactError, match=r"plan\.json is missing"):
        build_report([tmp_path], tmp_path / "report")


def test_no_torch_is_imported():
    code = "import sys; import kvdistill.report.build; sys.exit('torch' in sys.modules)"
    path = {"PYTHONPATH": str(Path(kvdistill.__file__).parents[1])}
    process = subprocess.run([sys.executable, "-c", code], check=False, env=os.environ | path)
    assert process.returncode == 0


@pytest.mark.usefixtures("undrawn")
def test_a_claim_that_was_dropped_stands_on_the_page(tmp_path):
    hard = {"name": "H", "arm": "b", "baseline": "a", "at_least": 30.0, "level": "minimum"}
    folder = fake.write_study(
        tmp_path, {"q": {"a": 0.0, "b": 0.1}}, extra={"hypotheses": build_registration([hard])}
    )
    page = build_report([folder], folder / "report").read_text(encoding="utf-8")
    assert "withdrawn or edited since" in page
    assert "Minimum criteria" not in page


@pytest.mark.usefixtures("undrawn")
def test_arms_that_agree_on_every_item_have_a_page(tmp_path):
    folder = fake.write_study(tmp_path, {"q": {"a": 0.0, "b": 0.0}}, seeds=(0,), texts=True)
    (one, other) = sorted((folder / "runs").glob("*/items.parquet"))
    other.write_bytes(one.read_bytes())
    results = one.with_name("results.json").read_bytes()
    other.with_name("results.json").write_bytes(results)
    page = build_report([folder], folder / "report").read_text(encoding="utf-8")
    assert "is more often right on 0 items" in page


@pytest.mark.usefixtures("undrawn")
def test_texts_that_are_private_are_not_shown(tmp_path):
    folder = fake.write_study(tmp_path, {"q": {"a": 0.0, "b": 1.0}}, seeds=(0,), texts=True)
    for path in (folder / "runs").glob("*/items.parquet"):
        frame = pd.read_parquet(path)
        hidden = frame["task"] == "nano_exam"
        frame.loc[hidden, ["question", "target", "response"]] = None
        frame.to_parquet(path)
    page = build_report([folder], folder / "report").read_text(encoding="utf-8")
    assert "The answer of nano_logic" in page
    assert "The answer of nano_exam" not in page
    assert "No texts are kept of this item." in page
