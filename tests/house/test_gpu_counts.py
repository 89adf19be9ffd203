"""The instruments of tests.bench.gpu_ready find what is planted."""

import pytest


def test_a_second_device_notices_a_buffer_of_the_cpu_and_each_time_the_host_waits() -> None:
    import torch

    from tests.bench.gpu_ready.fake_device import DEVICE, FakeDevice

    linear, stays = torch.nn.Linear(4, 4), torch.ones(4)
    with FakeDevice() as device:
        x = torch.randn(3, 4).to(DEVICE)
        loss = linear.to(DEVICE)(x).square().sum()
        loss.backward()
        assert x.device == loss.device == linear.weight.grad.device == DEVICE
        assert not device.mixed
        assert not device.waits
        device.forget()
        x + stays
        assert [*device.mixed.values()] == [1]
        float(loss.detach()), bool((x > 0).all()), x[x > 0], x.tolist(), x.cpu(), x.nonzero()
    assert sum(device.waits.values()) == 6
    assert not device.copies


def test_layers_that_are_recomputed_are_on_the_device_again_and_counted() -> None:
    import torch
    from torch.utils.checkpoint import checkpoint

    from tests.bench.gpu_ready.fake_device import DEVICE, FakeDevice, run_backward

    seen, linear = [], torch.nn.Linear(4, 4)

    def compute(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.device)
        return linear(x).tanh()

    with FakeDevice() as device:
        x = torch.randn(3, 4).to(DEVICE)
        linear.to(DEVICE)
        run_backward(compute(x).sum())
        kept = device.launches
        linear.zero_grad()
        device.forget()
        again = checkpoint(compute, x, use_reentrant=False, determinism_check="none")
        run_backward(again.sum())
        assert device.launches == kept + 2  # the product and its tanh
        assert not device.mixed
        assert not device.waits
    assert seen == [DEVICE] * 3


def test_chunks_are_numbered_without_a_wait_however_many_parts_there_are() -> None:
    import numpy as np
    import torch

    from kvdistill.logits.chunk_outcomes import ChunkTokens
    from tests.bench.gpu_ready.fake_device import DEVICE, FakeDevice

    with FakeDevice() as device:
        labels = torch.arange(5).to(DEVICE)
        tokens = ChunkTokens.from_numbers(labels, np.array([-1, 3, 3, -1, 7]))
        sums = tokens.sum_over_chunks(labels.float())
        assert not device.waits
        assert not device.mixed
    assert tokens.chunk.tolist() == [0, 0, 0, 0, 1]
    assert tokens.first.tolist() == [1, 4]
    assert sums.tolist() == [3, 4]


@pytest.mark.integration
def test_a_press_that_cuts_its_work_for_a_cache_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from kvdistill.compression import heads
    from kvdistill.compression.r_kv import RKV
    from tests.bench.gpu_ready.launches import count_press_launches, measure

    assert max(measure(quick=True).values()) <= 100
    monkeypatch.setattr(heads, "DEVICE_ELEMENTS", heads.CACHE_ELEMENTS)
    assert count_press_launches(RKV(keep=0.5), 4, 28) > 2000


def test_every_yaml_of_a_room_is_a_setting_that_is_taken_apart() -> None:
    import yaml

    from tests.bench.gpu_ready.settings import CONF, LEFT_OUT, ROOMS, list_settings

    names = {setting.name for setting in list_settings()}
    chosen = LEFT_OUT | {name.partition(" ")[0] for name in names}
    for room in ROOMS:
        for path in (CONF / room).glob("*.yaml"):
            assert f"{room}={path.stem}" in chosen
    rooms = ("compression", "alignment", "projection", "layers", "position", "fusion", "loss")
    strategies = {
        path.parent.relative_to(CONF).as_posix()
        for path in CONF.rglob("*.yaml")
        for target in [str((yaml.safe_load(path.read_text("utf-8")) or {}).get("_target_"))]
        if target.startswith(tuple(f"kvdistill.{room}." for room in rooms))
    }
    assert strategies <= set(ROOMS)


@pytest.mark.integration
def test_what_the_plan_says_of_presses_and_calibration_is_held_against_live_bytes() -> None:
    from tests.bench.gpu_ready.scratch_bytes import PART

    assert all(PART.judge(PART.measure(True)).values())
