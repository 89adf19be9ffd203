"""GSM8K through the study's mixture, where a copy of the benchmarks stands beside the checkout.

KVDISTILL_BENCHMARKS names another folder. `data.root` takes the place of the hub.
"""

import json
import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[3] / "shared" / "benchmarks"
ROOT = Path(os.environ.get("KVDISTILL_BENCHMARKS", BESIDE))
OTHERS = ("math", "aqua", "ecqa", "school_math_zh")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("hydra"),
    pytest.mark.skipif(
        not (ROOT / "gsm8k").is_dir(), reason=f"no gsm8k in {ROOT.name}; set KVDISTILL_BENCHMARKS"
    ),
]


def compose_gsm8k():
    from kvdistill.config.compose import compose

    return compose(
        [
            "data=multi_reasoning", f"data.root={ROOT}", "data.source.rows=7000",
            *(f"~data.source.parts.{name}" for name in OTHERS),
            "tasks=gsm8k", "tasks.limit=null", f"tasks.data_root={ROOT}",
        ]
    )  # fmt: skip


def test_gsm8k_train_from_a_local_copy_holds_none_of_its_test(tmp_path: Path) -> None:
    from kvdistill.jobs.builders import build_split, build_validation
    from kvdistill.plan.graph import list_artifacts

    nodes = dict(list_artifacts(compose_gsm8k()))
    for kind in ("split", "validation"):
        (tmp_path / kind).mkdir()
    build_split(nodes["split"].recipe, {}, tmp_path / "split", lambda *_: None)
    needs = {"split": tmp_path / "split"}
    build_validation(nodes["validation"].recipe, needs, tmp_path / "validation", lambda *_: None)
    report = json.loads((tmp_path / "validation/validation_report.json").read_text())
    assert report["verdict"] == "clean"
    assert report["tainted"]["gsm8k"] == []
    assert report["sets"]["gsm8k"]["rows"] > 600
    rows = sum(facts["rows"] for facts in report["files"].values())
    dropped = sum(report["dropped"]["near_copies"].values()) + report["dropped"]["duplicates"]
    assert rows + dropped == 7000
    assert report["stratification"]["worst"] < 0.01
