"""What a processor multiplies quickly, by what Linux says of it."""

from pathlib import Path

import pytest

from kvdistill.processor import multiplies_bf16_fast


@pytest.mark.parametrize(
    ("line", "fast"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 avx512_fp16", True),
        ("flags\t\t: fpu avx2 amx_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu avx2 avx512f", False),
        ("flags\t\t: fpu bf16_like", False),
        ("bugs\t\t: avx512_bf16", False),
    ],
)
def test_instructions_for_bfloat16_are_read_of_the_flags(
    tmp_path: Path, line: str, fast: bool
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\nprocessor\t: 1\n")
    assert multiplies_bf16_fast(tmp_path / "cpuinfo") is fast


def test_a_system_that_says_nothing_is_taken_for_one_without(tmp_path: Path) -> None:
    assert not multiplies_bf16_fast(tmp_path / "cpuinfo")
