"""One study and its report for all tests of this room."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from tests.stats import fake

HOSTILE = (
    "<script>window.pwned=1</script><img src=x onerror=window.pwned=2>"
    '<a href="javascript:window.pwned=3">x</a></script></details>"\'><svg onload=window.pwned=4>'
    "{{ 7*7 }} ${window.pwned=5} "
    "\u202egnp.exe\u202c\u2066 \x00\x1b[31m \ud7ff \u8bb0\u5f97\u4e2d\u6587"
)
LABEL = 'fusion=<b onmouseover="window.pwned=6">learnable</b>\u202e'
CLAIMS = [
    {"name": "F2", "arm": LABEL, "baseline": "fusion=fixed", "at_least": 3.0, "text": HOSTILE},
    {"name": "M", "arm": LABEL, "baseline": "single", "at_least": 3.0, "level": "minimum"},
    {"name": "I", "arm": LABEL, "baseline": "single", "at_least": 90.0, "level": "ideal"},
]


def write_hostile_study(root: Path) -> Path:
    """A half-done study whose labels, items and outputs all attack the page."""
    import json

    import pandas as pd

    folder = fake.write_study(
        root,
        {
            "baselines": {"raw_student": -0.9, "sft": -0.4, "single": -0.3},
            "fusion": {"fusion=fixed": -0.1, LABEL: 0.4},
            "ablation_layers": {"layers=shallow": -0.4, "layers=all": 0.0},
            "ablation_alignment": {"alignment=truncate": -0.4, "alignment=soft": 0.0},
            "ablation_compression": {"compression=full": -0.1, "compression=keep_last": 0.0},
            "ablation_family": {"teachers=same": 0.1, "teachers=\u6df7\u5408": 0.0},
        },
        unfinished=[("layers=all", 44)],
        judged={"fusion": {"hypotheses": CLAIMS[:1], "criteria": CLAIMS[1:]}},
        teachers={"qwen": 0.8},
        texts=True,
    )
    plan = json.loads((folder / "plan.json").read_text())
    for node in plan["runs"].values():
        path = root / node["folder"] / "items.parquet"
        if path.exists():
            frame = pd.read_parquet(path)
            frame["response"] = HOSTILE + frame["item"]
            frame["question"] = HOSTILE
            frame.to_parquet(path)
    return folder


@pytest.fixture(scope="session")
def index_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once for all processes that run tests: it takes as long as a hundred of them."""
    from kvdistill.report.build import build_report

    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    with FileLock(place / "report.lock"):
        folder = place / "report/runs/nano"
        if not (folder / "report/index.html").is_file():
            write_hostile_study(place / "report")
            build_report([folder], folder / "report")
    return folder / "report/index.html"


@pytest.fixture(scope="session")
def study(index_page: Path) -> Path:
    """The folder of the study that it reports."""
    return index_page.parent.parent
