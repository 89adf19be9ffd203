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
