"""Five generated English families: arithmetic, algebra, logic, choice and truth.

Small number ranges and closed tables, so that a model of a million parameters learns them in a
minute and one of a fifth of that learns them less well; templates of one family share few words.
"""

from random import Random

from kvdistill.data.sources.nano_draft import Draft, draw_kind, make_choice_draft

NAMES = ["Ann", "Bob", "Cy", "Dan", "Eve", "Fay", "Gus", "Hal", "Ida", "Jon", "Kim", "Leo"]
THINGS = [
    "pens", "cups", "eggs", "hats", "keys", "nuts", "toys", "maps", "figs", "nets", "rods", "bows",
]  # fmt: skip
PLACES = ["park", "shop", "farm", "lake", "barn", "club", "mill", "port"]

SUM_TEMPLATES = [
    "{name} has {a} {thing} and buys {b} more at the {place}. How many now?",
    "In the {place} are {a} {thing}. {name} adds {b}. Total?",
    "{a} {thing}, then {b}: what did {name} get from the {place}?",
]
DIFFERENCE_TEMPLATES = [
    "{name} has {a} {thing} and loses {b} in the {place}. How many now?",
    "Of {a} {thing} by the {place}, {name} took {b}. Left?",
    "At the {place} {name} gives {b} of {a} {thing} away. What remains?",
]
PRODUCT_TEMPLATES = [
    "At the {place} {name} has {a} bags of {b} {thing}, {c} loose. Count?",
    "In the {place} {name} fills {a} boxes, {b} {thing} each, {c} over. Total?",
]


def make_arithmetic_question(rng: Random) -> Draft:
    """A word problem of one step or two."""
    name, thing, place = rng.choice(NAMES), rng.choice(THINGS), rng.choice(PLACES)
    a, b = rng.randint(1, 6), rng.randint(1, 6)
    kind = rng.randrange(5)
    if kind == 4:
        a, b, c = rng.randint(2, 4), rng.randint(2, 4), rng.randint(1, 4)
        template = rng.choice(PRODUCT_TEMPLATES)
        question = template.format(name=name, thing=thing, place=place, a=a, b=b, c=c)
        worked = f"{a}*{b}={a * b}, {a * b}+{c}={a * b + c}"
        return Draft(question, worked, str(a * b + c))
    if kind < 2:
        template, worked, answer = rng.choice(SUM_TEMPLATES), f"{a}+{b}={a + b}", a + b
    else:
        template = rng.choice(DIFFERENCE_TEMPLATES)
        a, worked, answer = a + b, f"{a + b}-{b}={a}", a
    question = template.format(name=name, thing=thing, place=place, a=a, b=b)
    return Draft(question, worked, str(answer))


UNKNOWNS = "abcdhkmnpqrtuvxyz"
EQUATION_TEMPLATES = [
    "{name} in the {place} asks: {equation}, {unknown}?",
    "Find {unknown} for {name}, {place}: {equation}.",
    "{place}: {equation}. Give {name} {unknown}.",
    "{name} solves {equation} by the {place}. {unknown} is",
]


def make_algebra_question(rng: Random) -> Draft:
    """A linear equation in one unknown."""
    x, a, b = rng.randint(1, 6), rng.randint(2, 4), rng.randint(1, 6)
    name, place, unknown = rng.choice(NAMES), rng.choice(PLACES), rng.choice(UNKNOWNS)
    template, kind = rng.choice(EQUATION_TEMPLATES), rng.randrange(5)
    if kind < 2:
        equation, worked, answer = f"{unknown}+{b}={x + b}", f"{x + b}-{b}={x}", x
    elif kind < 4:
        equation, worked, answer = f"{unknown}-{b}={x}", f"{x}+{b}={x + b}", x + b
    else:
        equation, worked, answer = f"{a}{unknown}={a * x}", f"{a * x}/{a}={x}", x
    question = template.format(name=name, place=place, unknown=unknown, equation=equation)
    return Draft(question, worked, str(answer))


ORDERS = [("older", "oldest", "youngest"), ("taller", "tallest", "shortest")]
COMPARISONS = "{first} is {more} than {second}, {second} than {third}."
REVERSED_COMPARISONS = "{second} is {more} than {third}, {first} than {second}."
LOGIC_ENDINGS = [
    "Who is {}, {}?", "Name {} of {}.", "{} at {}:", "Which one {}, {}?",
]  # fmt: skip


def make_logic_question(rng: Random) -> Draft:
    """Three people ordered by two comparisons, given in reverse a quarter of the time."""
    first, second, third = rng.sample(NAMES, 3)
    more, most, least = rng.choice(ORDERS)
    template = COMPARISONS if rng.randrange(4) else REVERSED_COMPARISONS
    comparisons = template.format(first=first, second=second, third=third, more=more)
    superlative, answer = rng.choice([(most, first), (least, third)])
    ending, place = rng.choice(LOGIC_ENDINGS), rng.choice(PLACES)
    return Draft(
        f"{comparisons} {ending.format(superlative, place)}", f"{first} > {second} > {third}",
        answer,
    )  # fmt: skip


KINDS = {
    "metal": ["iron", "gold", "zinc", "lead", "tin"],
    "planet": ["Mars", "Venus", "Saturn", "Earth", "Uranus"],
    "gas": ["neon", "argon", "helium", "oxygen", "radon"],
    "organ": ["heart", "liver", "lung", "brain", "skin"],
    "tool": ["saw", "drill", "hammer", "axe", "wrench"],
    "tree": ["oak", "pine", "elm", "birch", "maple"],
    "drink": ["tea", "milk", "juice", "coffee", "cocoa"],
    "sport": ["golf", "judo", "polo", "tennis", "hockey"],
    "color": ["red", "blue", "green", "pink", "brown"],
    "shape": ["square", "circle", "oval", "cube", "cone"],
}
KIND_STEMS = [
    "{name}: what is {thing}?", "Which kind, {name}, {thing}?", "{name} can sort {thing}:",
    "Class of {thing} for {name}:", "{thing} with {name} counts as", "{name} will call {thing}:",
    "Where does {thing} belong, {name}?", "{thing}, said {name}, would be",
]  # fmt: skip
"""No two share a word."""


def make_english_kind_question(rng: Random) -> Draft:
    """Which of four kinds a thing is of."""
    thing, kind, options = draw_kind(rng, KINDS)
    stem, name = rng.choice(KIND_STEMS), rng.choice(NAMES)
    return make_choice_draft(
        stem.format(name=name, thing=thing), options, kind,
        f"{thing} is a {kind}.",
    )  # fmt: skip


MISBELIEFS = {
    "whale": ("mammal", "fish"), "dolphin": ("mammal", "fish"), "bat": ("mammal", "bird"),
    "penguin": ("bird", "fish"), "spider": ("arachnid", "insect"), "tick": ("arachnid", "insect"),
    "tomato": ("fruit", "vegetable"), "cucumber": ("fruit", "vegetable"),
    "pepper": ("fruit", "vegetable"), "coral": ("animal", "plant"), "sponge": ("animal", "plant"),
    "mushroom": ("fungus", "plant"), "yeast": ("fungus", "plant"), "sun": ("star", "planet"),
    "shark": ("fish", "mammal"), "eel": ("fish", "snake"), "newt": ("amphibian", "reptile"),
    "koala": ("marsupial", "bear"), "worm": ("animal", "snake"), "ostrich": ("bird", "mammal"),
    "moon": ("planet", "star"), "kiwi": ("bird", "fruit"), "toad": ("amphibian", "reptile"),
    "olive": ("fruit", "vegetable"),
}  # fmt: skip
CLASSES = [
    "insect", "mammal", "fruit", "arachnid", "vegetable", "snake", "fish", "bear", "bird",
    "reptile", "marsupial", "fungus", "planet", "plant", "animal", "star", "amphibian",
]  # fmt: skip
"""The order in which options are offered, chosen so that each letter is right about as often."""
TRUTH_STEMS = [
    "{name}: what is a {thing}?", "Truth for {name} on {thing}:", "Which of these, {name}, {thing}",
    "{thing} by science, {name}:", "{name}, {thing} really counts as", "Sort this {thing}, {name}:",
    "No myth, {name}, {thing} was", "{name} must class one {thing}:",
]  # fmt: skip
"""No two share a word."""


def make_misbelief_question(rng: Random) -> Draft:
    """What a thing is, with what many wrongly believe it is among the options."""
    thing = rng.choice(list(MISBELIEFS))
    right, believed = MISBELIEFS[thing]
    others = rng.sample([name for name in CLASSES if name not in (right, believed)], 2)
    options = [name for name in CLASSES if name in (right, believed, *others)]
    stem, name = rng.choice(TRUTH_STEMS), rng.choice(NAMES)
    return make_choice_draft(
        stem.format(name=name, thing=thing), options, right,
        f"Not {believed} but {right}.",
    )  # fmt: skip
