"""The study's Chinese part by its own YAML, on rows written by hand: parsed whole, or left out."""

import json

import pytest
from hydra import compose
from hydra.utils import instantiate

CHOICE = "小明有几个苹果?\nA\u30013个\nB\u30014个\nC\u30015个"
ROWS = [
    ("一块蛋糕吃了四分之一, 还剩多少?", "1 - 1/4 = 3/4\uff0c所以还剩3/4。", "3/4"),
    ("一台电脑多少元?", "这台电脑一共1,234元。", "1234"),
    ("一辆车多少元?", "这辆车一共 12 500元。", "12500"),
    ("他一共学了多久?", "他一共学了2小时30分钟。", None),
    ("每人得多少?", r"所以每人得\frac{1}{3}。", "1/3"),
    ("男生和女生的比是多少?", "男生和女生的比是3:5。", "3:5"),
    ("Human: 3加4等于几?\nAssistant:", "Assistant: 3+4=<<3+4=7>>7。\n#### 7", "7"),
    (CHOICE, "2+2=4\uff0c故选B。", "B"),
    (CHOICE.replace("小明", "小红"), "2+3=5\uff0c一共5个。", "C"),
    (CHOICE.replace("小明", "小刚"), "一共9个。", None),
    ("x 和 y 各是多少?", "x=3, y=5", None),
    ("说说你的看法?", "我觉得很好。", None),
    ("3 &lt; 4 对吗? 差是几?", "差是1。\nHuman: 谢谢", None),
    ("5 &gt; 2, 差是几?", "5 - 2 = 3 &nbsp;所以差是3。", "3"),
]


@pytest.fixture
def reading(hydra, tmp_path):
    (tmp_path / "school_math_zh").mkdir()
    lines = [
        json.dumps({"instruction": question, "input": "", "output": output}) + "\n"
        for question, output, _ in ROWS
    ]
    (tmp_path / "school_math_zh/train.jsonl").write_text("".join(lines), encoding="utf-8")
    others = [f"~data.source.parts.{name}" for name in ("gsm8k", "math", "aqua", "ecqa")]
    count = sum(answer is not None for _, _, answer in ROWS)
    config = compose(
        "config",
        overrides=["data=multi_reasoning", f"data.root={tmp_path}",
                   f"data.source.rows={count}", *others],
    )  # fmt: skip
    return instantiate(config.data.source, _convert_="object").read_records()


def test_a_worked_answer_is_one_number_or_letter_or_the_row_is_left_out_and_counted(reading):
    answers = {record.id: record.answer for record in reading.records}
    assert answers == {
        f"school_math_zh-{number}": answer
        for number, (_, _, answer) in enumerate(ROWS, start=1)
        if answer is not None
    }
    report = reading.tallies["school_math_zh"].to_report()
    assert report["rows"] == len(ROWS)
    assert report["left_out"] == {
        "no one letter of an option": 1, "no one number": 3, "several turns": 1,
    }  # fmt: skip
    assert report["left_out_share"] == pytest.approx(5 / 14)


def test_what_is_trained_on_is_what_one_reads(reading):
    texts = {record.id: record for record in reading.records}
    assert texts["school_math_zh-7"].question == "3加4等于几?"
    assert texts["school_math_zh-7"].rationale == "3+4=7。"
    assert texts["school_math_zh-14"].question == "5 > 2, 差是几?"
    assert texts["school_math_zh-3"].rationale == "这辆车一共 12500元。"
