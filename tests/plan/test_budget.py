import pytest


def budget(**changes: int) -> object:
    from kvdistill.config.schema import Budget

    given = {"total_tokens": 1_000_000_000, "batch_size": 32, "seq_len": 512, "num_gpus": 8}
    return Budget(**{**given, "grad_accum": 1, **changes})


def test_one_billion_tokens_on_eight_gpus() -> None:
    from kvdistill.plan.budget import global_batch, unified_steps

    assert global_batch(budget()) == 256
    assert unified_steps(budget()) == 7629  # 1e9 / (32 * 512 * 8) = 7629.39


def test_dividing_the_batch_otherwise_keeps_the_steps() -> None:
    from kvdistill.plan.budget import unified_steps

    assert unified_steps(budget(num_gpus=1, grad_accum=8)) == unified_steps(budget())


def test_zero_steps_are_refused() -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.plan.budget import unified_steps

    with pytest.raises(ConfigError, match=r"budget\.total_tokens=131071 is less than one step"):
        unified_steps(budget(total_tokens=131_071))
    assert unified_steps(budget(total_tokens=131_072)) == 1
