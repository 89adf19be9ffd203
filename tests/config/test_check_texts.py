"""A style that asks for a rationale needs a mapping that gives one."""

from typing import Any

import pytest

from kvdistill.config.check_texts import describe_missing_rationale

MIXED = {"cot": {"prompt": "{question}", "answer": "{rationale} {answer}"}}
DIRECT = {"direct": {"prompt": "{question}", "answer": "{answer}"}}
NONE = {"question": "q", "answer": "a", "rationale": None}


@pytest.mark.parametrize(
    ("templates", "source", "setting"),
    [
        (MIXED, {"fields": NONE}, "data.source.fields.rationale=null"),
        (MIXED, {"fields": NONE | {"rationale": "r"}}, None),
        (MIXED, {"fields": NONE, "pattern": "(?P<rationale>.*)#(?P<answer>.*)"}, None),
        (DIRECT, {"fields": NONE}, None),
        (MIXED, {"rows": 4}, None),
        (MIXED, {"parts": {"one": {"columns": NONE}}}, "data.source.parts.one.columns.rationale"),
    ],
)
def test_it_is_named_by_its_setting(templates: Any, source: Any, setting: str | None) -> None:
    fault = describe_missing_rationale(
        {"style": {"templates": templates}, "data": {"source": source}}
    )
    assert (fault is None) if setting is None else (setting in str(fault))


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["data.answers=silver"], r"data.answers='silver' is none of gold, teacher, right_teacher"),
        (["source=none"], r"loss.kv_weight=1.0, but source=none reads no teacher"),
        (
            ["source=none", "loss.kv_weight=0", "data.answers=teacher", "logits=jsd"],
            r"logits.weight=.* but source=none reads no teacher",
        ),
        (
            ["source=none", "loss.kv_weight=0"],
            r"source=none reads no teacher and data.answers=gold",
        ),
        (["data.answers_from=a"], r"data.answers_from='a', but data.answers=gold"),
        (["data.answers=teacher", "data.answers_from=z"], r"'z' is no teacher of this run.* a, b"),
        (["arm=sft", "data.answers=teacher"], r"data.answers=teacher needs a teacher who answers"),
        (["data.decoding.temperature=-1"], r"data.decoding.temperature=-1 must be 0"),
        (["data.decoding.max_new_tokens=0"], r"data.decoding.max_new_tokens=0 must be a whole"),
        (["data.decoding.seed=-1"], r"data.decoding.seed=-1 must be a whole number of 0"),
        (["data.decoding=null"], r"data.decoding"),
    ],
)
def test_answers_that_nobody_could_give_are_refused(overrides: list[str], line: str) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=line):
        compose(overrides)


@pytest.mark.usefixtures("hydra")
def test_an_untrained_arm_is_not_asked_whose_answers_it_trains_on() -> None:
    from kvdistill.config.compose import compose

    assert compose(["arm=raw_student", "data.answers=teacher"])["trained"] is False


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["on_policy.every=-1"], r"on_policy.every must be 0 or more, got -1"),
        (["on_policy.temperature=-1"], r"on_policy.temperature must be 0 or more, got -1"),
        (["on_policy.texts=0"], r"on_policy.texts=0 must be 1 or more. null sets no bound"),
        (["arm=sft", "on_policy=student"], r"on_policy.every=2 has the student write texts for"),
        (["arm=sequence_kd", "on_policy=student"], r"and none is read. Choose teachers and source"),
        (["arm=on_policy_kv", "source=store"], r"on_policy.every=2: source=store holds what"),
        (
            ["arm=on_policy_kv", "source=shuffled", "source@source.of=store"],
            r"on_policy.every=2: source=store holds what",
        ),
        (["arm=on_policy_kv", "style.mask_prompt=false"], r"Use style.mask_prompt=true"),
        (["arm=on_policy_kv", "train.torch_compile=true"], r"Use train.torch_compile=false"),
    ],
)
def test_own_texts_that_nobody_could_read_are_refused(overrides: list[str], line: str) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=line):
        compose(overrides)
