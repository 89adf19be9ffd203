"""`tasks.backend=vllm`, as far as it can be tested without vLLM (see vllm_stand_in.py)."""

import dataclasses
import inspect
import sys
from importlib.util import find_spec

import pytest
import torch
from lm_eval.api.instance import Instance

from kvdistill.errors import ConfigError, UserError
from kvdistill.evaluate.harness import evaluate
from kvdistill.evaluate.response_cache import ResponseCache
from kvdistill.evaluate.suite import Suite
from tests.data.factories import FAMILIES, make_family_tokenizer
from tests.evaluate import vllm_stand_in
from tests.evaluate.test_token_parity import check_same_tokens
from tests.evaluate.tiny_models import NANO, make_tiny_model

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def _stand_in():
    with pytest.MonkeyPatch.context() as patch:
        vllm_stand_in.install(patch)
        yield
    for name in vllm_stand_in.PATCHED_MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def suite():
    return Suite(name="n", tasks=NANO, limit=4, batch_size=4, max_gen_toks=12)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_the_package_it_is_refused_with_the_way_out():
    with pytest.raises(ConfigError, match=r"^tasks.backend=vllm .*pip install kvdistill\[vllm\]"):
        Suite(name="n", tasks=NANO, backend="vllm")


@pytest.mark.usefixtures("hydra")
@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_it_is_refused_before_anything_is_computed():
    from kvdistill.config.compose import compose
    from kvdistill.train.preflight import check_run_config

    with pytest.raises(ConfigError, match=r"^tasks.backend=vllm needs the package vllm"):
        check_run_config(compose(["tasks.backend=vllm"]))
    with pytest.raises(ConfigError, match=r"^tasks.backend"):
        check_run_config(compose(["tasks.backend=vlm"]))


@pytest.mark.usefixtures("hydra", "_stand_in")
def test_what_several_ranks_train_is_scored_in_a_job_of_its_own_or_refused():
    from kvdistill.config.compose import compose
    from kvdistill.train.preflight import check_run_config

    two = ["tasks.backend=vllm", "budget.num_gpus=2"]
    check_run_config(compose(["tasks.backend=vllm"]))
    check_run_config(compose(two))
    with pytest.raises(ConfigError, match=r"2 of budget.num_gpus .*evaluation.job=auto"):
        check_run_config(compose([*two, "cluster.evaluation.job=inline"]))


@pytest.mark.usefixtures("hydra")
def test_it_is_science_and_its_absence_forks_no_run_nor_the_check_of_the_data():
    from kvdistill.config.compose import compose
    from kvdistill.plan.graph import list_artifacts
    from kvdistill.plan.identity import run_identity

    plain, served = compose([]), compose(["tasks.backend=vllm"])
    assert run_identity(plain) != run_identity(served)
    older = {**plain, "tasks": {k: v for k, v in plain["tasks"].items() if k != "backend"}}
    assert run_identity(older) == run_identity(plain)
    checks = [dict(list_artifacts(each))["validation"].name for each in (plain, served, older)]
    assert len(set(checks)) == 1


@pytest.mark.usefixtures("_stand_in")
def test_every_setting_is_one_of_lm_evals_own_class(suite):
    from lm_eval.models.vllm_causallms import VLLM

    from kvdistill.evaluate.backends import vllm as vllm_backend

    assert issubclass(vllm_backend.CachedVLLM, VLLM)
    settings = vllm_backend.make_engine_settings(suite, torch.bfloat16)
    parameters = inspect.signature(VLLM.__init__).parameters
    # Those that it has no name for would be handed to vLLM itself, unread.
    assert set(settings) <= {
        name for name, one in parameters.items() if one.kind != one.VAR_KEYWORD
    }
    assert settings["dtype"] == "bfloat16"
    assert str(settings["dtype"]) in str(parameters["dtype"].annotation)


@pytest.mark.usefixtures("_stand_in")
def test_its_answers_reach_the_items_as_those_of_transformers_do(suite, tokenizer, nano_records):
    model, data = make_tiny_model(tokenizer), {"test": nano_records}
    plain = evaluate(model, tokenizer, suite, data)
    from_vllm = evaluate(model, tokenizer, dataclasses.replace(suite, backend="vllm"), data)
    assert from_vllm == plain
    written = [item for item in plain.items if item.task in NANO[:3]]
    assert {item.truncated for item in written} == {True}


@pytest.mark.usefixtures("_stand_in")
def test_an_answer_that_ends_is_not_truncated(suite, tokenizer, nano_records):
    model, data = make_tiny_model(tokenizer), {"test": nano_records}
    with torch.no_grad():
        model.lm_head.weight.zero_()  # every token ties, and the first is the end
    assert tokenizer.eos_token_id == 0
    small = dataclasses.replace(suite, tasks=NANO[:1], backend="vllm")
    items = evaluate(model, tokenizer, small, data).items
    assert {(item.truncated, item.empty) for item in items} == {(False, True)}


@pytest.mark.usefixtures("_stand_in")
def test_one_prompt_with_two_settings_has_two_answers(tokenizer, tmp_path):
    from kvdistill.evaluate.backends import vllm as vllm_backend

    model = make_tiny_model(tokenizer)
    suite = Suite(name="n", tasks=NANO, backend="vllm")
    requests = [
        Instance("generate_until", {}, ("Question: what", {"until": ["#"], "max_gen_toks": n}), 0)
        for n in (2, 5, 2)
    ]
    with vllm_backend.open_vllm(model, tokenizer, suite, ResponseCache(), None) as asking:
        short, long, again = asking.generate_until(requests)
    assert short == again
    assert long.startswith(short)
    assert len(tokenizer.encode(long)) > len(tokenizer.encode(short))


@pytest.mark.usefixtures("_stand_in")
def test_a_log_probability_that_is_no_number_is_refused_and_not_kept(
    suite, tokenizer, nano_records, tmp_path
):
    model, data = make_tiny_model(tokenizer), {"test": nano_records}
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    broken = dataclasses.replace(suite, tasks=["nano_exam"], backend="vllm")
    for _ in range(2):
        with pytest.raises(UserError, match="task nano_exam: the model gives a log-probability of"):
            evaluate(model, tokenizer, broken, data, cache=tmp_path)


@pytest.mark.usefixtures("_stand_in")
def test_the_engine_and_its_version_are_part_of_what_is_kept(
    suite, tokenizer, nano_records, tmp_path, monkeypatch
):
    model, data = make_tiny_model(tokenizer), {"test": nano_records}
    small = dataclasses.replace(suite, tasks=NANO[:1])
    served = dataclasses.replace(small, backend="vllm")
    for choice in (small, served, served, small):
        evaluate(model, tokenizer, choice, data, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr("kvdistill.evaluate.backends.vllm.version", lambda _: "0.34.0")
    evaluate(model, tokenizer, served, data, cache=tmp_path)
    files = list(tmp_path.glob("eval-*/answers.jsonl"))
    assert len(files) == 3
    assert [len(ResponseCache(path).responses) for path in files] == [4, 4, 4]


@pytest.mark.usefixtures("_stand_in")
def test_a_prompt_that_leaves_no_room_for_vllms_own_token_is_refused(
    suite, tokenizer, nano_records
):
    model, data = make_tiny_model(tokenizer), {"test": nano_records}
    exam = dataclasses.replace(suite, tasks=["nano_exam"], limit=1)
    item = evaluate(model, tokenizer, exam, data).items[0]
    least = next(
        n for n in range(20, 400)
        if fits(model, tokenizer, dataclasses.replace(exam, max_length=n), data)
    )  # fmt: skip
    served = dataclasses.replace(exam, max_length=least, backend="vllm")
    with pytest.raises(UserError, match=r"does not fit into tasks\.max_length"):
        evaluate(model, tokenizer, served, data)
    more = evaluate(model, tokenizer, dataclasses.replace(served, max_length=least + 2), data)
    assert more.items == [item]


def fits(model, tokenizer, suite, data) -> bool:
    try:
        evaluate(model, tokenizer, suite, data)
    except UserError:
        return False
    return True


@pytest.mark.usefixtures("_stand_in")
def test_task_metrics_in_training_stay_with_the_model_in_memory(suite, nano_records):
    from kvdistill.evaluate.in_training import shrink_suite

    folder = nano_records.parent
    (folder / "val.jsonl").write_text(nano_records.read_text("utf-8"), "utf-8")
    assert shrink_suite(dataclasses.replace(suite, backend="vllm"), folder, 4).backend == "hf"


@pytest.mark.usefixtures("_stand_in")
@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_and_training_texts_are_the_same_tokens(family):
    from kvdistill.evaluate.backends.vllm import CachedVLLM

    lm = object.__new__(CachedVLLM)  # an engine would need a model for each
    lm.tokenizer = make_family_tokenizer(family)
    check_same_tokens(lm, lm.tokenizer)
