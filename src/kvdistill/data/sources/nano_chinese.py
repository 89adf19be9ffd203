"""Two generated Chinese families: which of four is of a kind, and small school exams."""

from random import Random

from kvdistill.data.sources.nano_draft import Draft, draw_kind, make_choice_draft

KINDS = {
    "水果": ["苹果", "香蕉", "葡萄", "西瓜", "桃子"],
    "动物": ["老虎", "兔子", "大象", "猴子", "狮子"],
    "颜色": ["红色", "蓝色", "绿色", "黄色", "白色"],
    "城市": ["北京", "上海", "广州", "南京", "成都"],
    "乐器": ["钢琴", "古筝", "二胡", "笛子", "吉他"],
    "家具": ["桌子", "椅子", "柜子", "沙发", "书架"],
    "蔬菜": ["白菜", "萝卜", "黄瓜", "土豆", "茄子"],
    "衣服": ["裤子", "裙子", "毛衣", "衬衫", "外套"],
    "运动": ["足球", "游泳", "跑步", "网球", "滑雪"],
    "职业": ["老师", "医生", "警察", "司机", "厨师"],
}
NAMES = [
    "小明",
    "小红",
    "小刚",
    "小丽",
    "小华",
    "小军",
    "小芳",
    "小强",
    "小文",
    "小梅",
    "小杰",
    "小玲",
]
KIND_STEMS = [
    "{name}问{thing}是什么？", "请{name}把{thing}归类：", "{thing}属于哪个，{name}？",
    "{name}怎样称呼{thing}？", "{thing}在{name}看来算作：", "{name}选出{thing}所指：",
    "{thing}可算何物，{name}？", "对{name}而言{thing}乃：",
]  # fmt: skip
"""No two share a character."""


def make_chinese_kind_question(rng: Random) -> Draft:
    """Which of four kinds a thing is of."""
    thing, kind, options = draw_kind(rng, KINDS)
    stem, name = rng.choice(KIND_STEMS), rng.choice(NAMES)
    return make_choice_draft(
        stem.format(name=name, thing=thing),
        options,
        kind,
        f"{thing}是{kind}。",
    )


THINGS = [
    "苹果", "铅笔", "气球", "贝壳", "书本", "糖果", "花朵", "石子", "饼干", "鸡蛋", "邮票", "帽子",
]  # fmt: skip
SUM_STEMS = [
    "{name}{a}个{thing}加{b}个？", "{thing}{a}件与{b}件，{name}得：",
    "{a}只和{b}只{thing}，{name}：",
]  # fmt: skip
DIFFERENCE_STEMS = [
    "{name}{a}个{thing}减{b}个？", "{thing}{a}件，{name}拿{b}件，余：",
    "从{a}只{thing}去{b}只，{name}：",
]  # fmt: skip


def make_exam_question(rng: Random) -> Draft:
    """Which of four numbers a sum or a difference is."""
    right, name, thing = rng.randint(1, 9), rng.choice(NAMES), rng.choice(THINGS)
    if right > 1 and rng.randrange(2):
        a = rng.randint(1, right - 1)
        stem, b, worked = rng.choice(SUM_STEMS), right - a, f"{a}+{right - a}={right}。"
    else:
        b = rng.randint(1, 6)
        stem, a, worked = rng.choice(DIFFERENCE_STEMS), right + b, f"{right + b}-{b}={right}。"
    wrong = rng.sample([number for number in range(1, 10) if number != right], 3)
    options = [str(number) for number in sorted([right, *wrong])]
    return make_choice_draft(
        stem.format(name=name, thing=thing, a=a, b=b), options,
        str(right), worked,
    )  # fmt: skip
