"""Peaks by the name that a driver gives."""

from pathlib import Path

import pytest
import yaml

from kvdistill.plan.resources.device_peaks import find_peak_tflops


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989.5),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA H200", 989.5),
        ("NVIDIA H200 NVL", 835.5),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA A100-PCIE-40GB", 312.0),
        ("NVIDIA A10G", 70.0),
        ("NVIDIA A10", 125.0),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("AMD Instinct MI300X", 1307.4),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("Intel(R) Xeon(R) Platinum 8488C, 2 threads", None),
        ("AMD EPYC 7A10 64-Core Processor, 8 threads", None),
        ("NVIDIA H1000", None),
    ],
)
def test_a_card_has_its_own_peak_and_what_is_not_listed_none(
    name: str, tflops: float | None
) -> None:
    assert find_peak_tflops(name) == tflops


def test_the_plan_reckons_with_the_same_peaks() -> None:
    home = Path(__file__).parents[3]
    node = yaml.safe_load((home / "conf/estimate/default.yaml").read_text())
    kinds = {"a100-80gb": "NVIDIA A100-SXM4-80GB", "h100-80gb": "NVIDIA H100 80GB HBM3",
             "h200-141gb": "NVIDIA H200"}  # fmt: skip
    for kind, name in kinds.items():
        assert node["peak_tflops"][kind] == pytest.approx(find_peak_tflops(name), rel=1e-3)
