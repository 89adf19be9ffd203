"""Every strategy's YAML composes and builds; scales and sweeps are in test_sweeps.py."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = {
    "arm", "compression", "alignment", "projection", "layers", "layers/map", "position", "kv",
    "fusion", "loss", "style", "teachers", "train", "source",
}  # fmt: skip
CHOICES = [
    (group, path.stem)
    for group in sorted(ROOMS)
    for path in sorted((ROOT / "conf" / group).glob("*.yaml"))
]
GIVEN = {
    ("train", "zero2"): ["budget.num_gpus=2"],
    ("teachers", "none"): ["loss.kv_weight=0.0"],
    ("fusion", "best_single"): ["fusion.teacher=a"],
    ("projection", "identity"): ["teachers=single", "student.geometry.kv_heads=2",
        "student.geometry.head_dim=24"],
    ("projection", "student_side"): ["teachers=single"],
    ("source", "none"): ["loss.kv_weight=0.0", "data.answers=teacher"],
    ("kv", "none"): [
        "loss.kv_weight=0.0", "logits=forward_kl", "logits/vocabulary=chunks",
        "logits/teachers=mean"],
    **{
        ("teachers", name): ["scale=smollm", "smollm2=/", "benchmarks=/", "projection=ridge"]
        for name in ("tuned", "llama")
    },
}  # fmt: skip


@pytest.mark.integration
@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes_and_builds(group: str, choice: str) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.train.preflight import check_run_config

    if (group, choice) == ("layers/map", "anchors"):
        given = ["layers.map.anchors='0:0, 3:3'"]
    else:
        given = GIVEN.get((group, choice), [])
    check_run_config(compose([f"{group}={choice}", *given]))


@pytest.mark.parametrize("path", sorted((ROOT / "conf").rglob("*.yaml")), ids=str)
def test_every_file_says_what_it_is_in_its_first_line(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    first = lines[1] if lines[0].startswith("# @package") else lines[0]
    assert first.startswith("# ")
    assert first.endswith(".")
