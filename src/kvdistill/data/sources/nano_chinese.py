"""Two generated Chinese families: which of four is of a kind, and small school exams."""

from random import Random

from kvdistill.data.sources.nano_draft import Draft, draw_kind, make_choice_draft

KINDS = {
    "水果": ["苹果", "香蕉", "葡萄", "西瓜", "桃子", "梨子"],
    "动物": ["老虎", "兔子", "大象", "猴子", "狮子", "熊猫"],
    "颜色": ["红色", "蓝色", "绿色", "黄色", "白色", "黑色"],
    "城市": ["北京", "上海", "广州", "南京", "成都", "武汉"],
    "乐器": ["钢琴", "古筝", "二胡", "笛子", "吉他", "琵琶"],
    "家具": ["桌子", "椅子", "柜子", "沙发", "书架", "床"],
}


def make_chinese_kind_question(rng: Random) -> Draft:
    """Which of four kinds a thing is of."""
    thing, kind, options = draw_kind(rng, KINDS)
    stem = rng.choice(["{}是什么？", "{}属于哪一类？", "请问{}是什么？"]).format(thing)
    return make_choice_draft(stem, options, kind, f"{thing}是{kind}。")


def make_exam_question(rng: Random) -> Draft:
    """Which of four numbers a sum or a difference is."""
    right = rng.randint(1, 9)
    if right > 1 and rng.randrange(2):
        a = rng.randint(1, right - 1)
        stem, worked = f"{a}加{right - a}等于？", f"{a}+{right - a}={right}。"
    else:
        b = rng.randint(1, 6)
        stem, worked = f"{right + b}减{b}等于？", f"{right + b}-{b}={right}。"
    wrong = rng.sample([number for number in range(1, 10) if number != right], 3)
    options = [str(number) for number in sorted([right, *wrong])]
    return make_choice_draft(stem, options, str(right), worked)
