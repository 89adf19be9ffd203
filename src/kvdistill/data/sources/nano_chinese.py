"""Two generated Chinese families: which of four is of a kind, and small school exams."""

from random import Random

from kvdistill.data.sources.nano_draft import Draft, choice, kind_of

KINDS = {
    "水果": ["苹果", "香蕉", "葡萄", "西瓜", "桃子", "梨子"],
    "动物": ["老虎", "兔子", "大象", "猴子", "狮子", "熊猫"],
    "颜色": ["红色", "蓝色", "绿色", "黄色", "白色", "黑色"],
    "城市": ["北京", "上海", "广州", "南京", "成都", "武汉"],
    "乐器": ["钢琴", "古筝", "二胡", "笛子", "吉他", "琵琶"],
    "家具": ["桌子", "椅子", "柜子", "沙发", "书架", "床"],
}
OPPOSITES = {
    "大": "小", "高": "低", "长": "短", "多": "少", "快": "慢", "冷": "热",
    "新": "旧", "黑": "白", "早": "晚", "轻": "重", "左": "右", "上": "下",
}  # fmt: skip


def kinds(rng: Random) -> Draft:
    """Of which of four kinds a thing is."""
    thing, kind, wrong = kind_of(rng, KINDS)
    stem = rng.choice(["{}是什么？", "{}属于哪一类？", "请问{}是什么？"]).format(thing)
    return choice(stem, kind, wrong, f"{thing}是{kind}。")


def exam(rng: Random) -> Draft:
    """A sum or a difference among four numbers."""
    a, b = rng.randint(1, 5), rng.randint(1, 4)
    if rng.randrange(2):
        stem, right, worked = f"{a}加{b}等于？", a + b, f"{a}+{b}={a + b}。"
    else:
        stem, right, worked = f"{a + b}减{b}等于？", a, f"{a + b}-{b}={a}。"
    wrong = [str(n) for n in rng.sample([n for n in range(1, 10) if n != right], 3)]
    return choice(stem, str(right), wrong, worked)
