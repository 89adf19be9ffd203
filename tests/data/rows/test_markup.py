"""What publishers write into texts: one rule each, and what the rules leave alone."""

import json
import os
from pathlib import Path

import pytest

from kvdistill.data.rows.markup import (
    CHARACTERS,
    MARKUP_RULES,
    UNMISTAKABLE_RULES,
    check_rule_names,
    clean_fields,
    has_several_turns,
)
from kvdistill.errors import ConfigError

CASES = {
    "calculator_marks": [
        ("48/2 = <<48/2=24>>24 clips, $<<2*.5=1.0>>1.", "48/2 = 24 clips, $1."),
        ("<<600*30/100=180>> <<180+9=189>>", "600*30/100=180 180+9=189"),
        ("cout << x << y;", "cout << x << y;"),
        ("a << b, c >> d", "a << b, c >> d"),
    ],
    "html": [
        ("2 &lt; 3 &amp;amp; x&nbsp;y&#39;s", "2 < 3 & x y's"),
        ("a<br/>b<p>c</p>d", "a\nbc\nd"),
        ("x<sup>2</sup> + H<sub>2</sub>O", "x^{2} + H_{2}O"),
        ("if a < b and c > d", "if a < b and c > d"),
        ("AT&T; R&D", "AT&T; R&D"),
    ],
    "role_labels": [
        ("Human: 1+1?\nAssistant:", "1+1?"),
        ("Assistant: 2", "2"),
        ("题目\uff1a小明有3个。", "小明有3个。"),
        ("解\uff1a3+4=7", "3+4=7"),
        ("He said: Human: none", "He said: Human: none"),
    ],
    "reference_marks": [
        ("It is 5 [reference_1].", "It is 5."),
        ("It is 5【3†source】.", "It is 5."),
        ("f[1] and [2, 3]", "f[1] and [2, 3]"),
    ],
    "socratic_steps": [
        ("How many in May? ** She sold 24.", "How many in May? She sold 24."),
        ("2 ** 3 = 8", "2 ** 3 = 8"),
    ],
    "final_mark": [
        ("3+4=7\n#### 7", "3+4=7"),
        ("#### Step 1\n3+4=7", "#### Step 1\n3+4=7"),
        ("#### 7", "#### 7"),
    ],
    "equation_prefix": [
        ("x=(11-1)*2", "(11-1)*2"),
        ("x=y+2", "x=y+2"),
        ("so x=3*4", "so x=3*4"),
    ],
    "drawings": [("As [asy]\ndraw((0,0));\n[/asy] shows.", "As\nshows.")],
    "number_groups": [("12 500元", "12500元"), ("3 5 7", "3 5 7"), ("1 234 567", "1234567")],
    "option_letters": [
        ("Which?\nA)21\n(B) 22", "Which?\nA. 21\nB. 22"),
        ("f(A) 3\nA 4", "f(A) 3\nA 4"),
    ],
}


@pytest.mark.parametrize(
    ("name", "text", "clean"), [(name, *case) for name, cases in CASES.items() for case in cases]
)
def test_a_rule_takes_its_own_markup_and_nothing_else(name, text, clean):
    field = MARKUP_RULES[name].fields[-1]
    values, changed, _ = clean_fields({field: text}, [name])
    assert values[field] == clean
    assert changed == ({name} if text != clean else set())
    again, changed, others = clean_fields(values, [name])
    assert (again, changed) == (values, set())
    assert name not in others


def test_every_rule_has_a_case():
    assert CASES.keys() == MARKUP_RULES.keys()
    assert set(UNMISTAKABLE_RULES) < set(MARKUP_RULES)


def test_a_rule_that_is_not_named_changes_nothing_and_is_told():
    values, changed, others = clean_fields({"rationale": "<<1=1>>1"}, [])
    assert (values, changed, others) == ({"rationale": "<<1=1>>1"}, set(), {"calculator_marks"})


def test_rules_about_worked_answers_leave_questions_alone():
    drawing = "See [asy] draw; [/asy]."
    values, _, others = clean_fields({"question": drawing}, ["drawings", "final_mark"])
    assert values == {"question": drawing}
    assert others == set()


@pytest.mark.parametrize(
    ("text", "folded"),
    [("e\u0301", "\u00e9"), ("a\r\nb\rc", "a\nb\nc"), ("\ufeffa\x00b", "ab"), ("a\tb", "a\tb")],
)
def test_one_unicode_form_for_all(text, folded):
    values, changed, _ = clean_fields({"answer": text}, [])
    assert values["answer"] == folded
    assert changed == ({CHARACTERS} if text != folded else set())


def test_a_conversation_in_a_text_is_seen():
    assert has_several_turns("1+1?\nAssistant: 2\nHuman: 2+2?")
    assert not has_several_turns("The human: a kind of ape.")


def test_an_unknown_rule_is_named():
    with pytest.raises(ConfigError, match=r"^data\.source\.clean: 'marks' is no rule; rules are"):
        check_rule_names(["marks"], "data.source.clean")


BESIDE = Path(__file__).parents[4] / "shared" / "benchmarks"
ROOT = Path(os.environ.get("KVDISTILL_BENCHMARKS", BESIDE)) / "gsm8k/main/train.jsonl"


@pytest.mark.skipif(not ROOT.is_file(), reason="no gsm8k; set KVDISTILL_BENCHMARKS")
def test_no_mark_of_gsm8k_is_left_and_no_other_character_goes():
    for line in ROOT.read_text("utf-8").splitlines():
        row = json.loads(line)
        values, _, _ = clean_fields({"rationale": row["answer"]}, ["calculator_marks"])
        assert "<<" not in values["rationale"]
        assert ">>" not in values["rationale"]
        kept = "".join(part.partition(">>")[2] or part for part in row["answer"].split("<<"))
        assert values["rationale"] == kept
