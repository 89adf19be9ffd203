"""What is not installed is refused by its name, with the way out."""

import pytest

from kvdistill.errors import ConfigError
from kvdistill.train.kernels import check_kernels as module
from kvdistill.train.kernels.check_kernels import check_kernels

CASES = {
    "attn_implementation": ("flash_attention_2", r"flash_attention_2 needs .* flash_attn,.*sdpa"),
    "torch_compile": (True, r"torch_compile=true needs triton.*torch_compile=false"),
}


@pytest.mark.parametrize("key", CASES)
def test_a_kernel_that_is_missing_is_refused(key, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    value, message = CASES[key]
    with pytest.raises(ConfigError, match=message):
        check_kernels({key: value})
    check_kernels({})
