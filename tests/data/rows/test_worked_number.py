"""The one number that a worked answer ends with, or none: never a part of it."""

import pytest

from kvdistill.data.rows.worked_number import NoDefiniteNumberError, read_worked_number

NUMBERS = {
    "所以小明还剩3/4个蛋糕。": "3/4",
    "一共1,234元。": "1234",
    r"所以是\frac{1}{3}。": "1/3",
    "比是3:5。": "3:5",
    "男女生人数比为3比5。": "3:5",
    "1:2:3": "1:2:3",
    "这道题的答案是7元。": "7",
    "48÷2=24\uff0c24+48=72。": "72",
    "5\u00d73=15(元)\n答\uff1a一共15元。": "15",
    "小明共花了 3 \u00d7 5 = 15 元\uff0c剩余 20 - 15 = 5 元。": "5",
    "每人5个\uff0c所以一共需要15个。": "15",
    "2+3=5\uff0c一共5个。": "5",
    "他跑了12.50千米": "12.5",
    "面积是36cm²。": "36",
    "面积是36平方厘米": "36",
    "共3万元": "30000",
    "1.2万元": "12000",
    "他有3千克": "3",
    "占总数的25%。": "25%",
    "剩下3分之1": "1/3",
    "2又3分之1米": "7/3",
    "2又1/3": "7/3",
    r"$2\frac{1}{3}$": "7/3",
    "1½米": "3/2",
    "结果是-7": "-7",
    "负7": "-7",
    "因此x = 12。": "12",
    r"\boxed{42}": "42",
    r"答案为\boxed{1{,}234}": "1234",
    "#### 72": "72",
    "The answer is $1,234.50.": "1234.5",
    "\uff13\uff0f\uff14": "3/4",
    "共有3个。希望能帮到你\uff01": "3",
    "速度为60km/h。": "60",
    "他付了$.50": "0.5",
    "5-2=3 所以差是3": "3",
    "The ratio is 3:5.": "3:5",
}
NONE = [
    "需要2小时30分钟。", "3元5角", "3米20厘米", "x=3,y=5", "x=3或x=5", "3+4", "5到10个", "5~10个",
    "5-10", "3余1", "三分之一", "2π", "√2", "2的3次方", "10^3", "1/2/3", "2/0", "12,34", "1 234",
    "答案是5。答案是6。", "答案\uff1a1. 5元", "答案是A", "0.333...", "0.75或3/4", "3x", "5!",
    "所以小明买了3个苹果\uff0c每个2元。", "答:第1组3人", "(1)5个;(2)6个", "因为3<5", "没有答案",
    "小明有3个\uff0c小红有5个。", "Week 3: 210 pages", "3\u00d73", "3-3",
]  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_is_read_whole(text):
    assert read_worked_number(text) == NUMBERS[text]


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_one_number_is_no_answer(text):
    with pytest.raises(NoDefiniteNumberError):
        read_worked_number(text)
