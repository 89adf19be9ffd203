"""What the server of local jobs does once, so that none of its jobs does it again."""

import gc
import runpy

import pytest
from transformers import conversion_mapping

from kvdistill.plan.code.reach import PackageCode


@pytest.mark.integration
def test_no_job_compiles_patterns_or_collects_what_was_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frozen: list[bool] = []
    # Not here: what lives in this process is not meant to live as long as it.
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    monkeypatch.setattr(conversion_mapping, "_checkpoint_conversion_mapping_cache", None)
    monkeypatch.setattr(PackageCode, "trace_modules", lambda *_: None)
    runpy.run_module("kvdistill.jobs.preload")
    monkeypatch.setattr(conversion_mapping, "_build_checkpoint_conversion_mapping", pytest.fail)
    assert conversion_mapping.get_checkpoint_conversion_mapping("mixtral")
    assert frozen == [True]
