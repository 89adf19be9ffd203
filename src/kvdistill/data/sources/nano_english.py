"""Five generated English families: arithmetic, algebra, logic, choice and truth.

Small number ranges, few templates and closed tables, so that a model of a million parameters
learns them in a minute and one of a fifth of that learns them less well.
"""

from random import Random

from kvdistill.data.sources.nano_draft import Draft, draw_kind, make_choice_draft

NAMES = ["Ann", "Bob", "Cy", "Dan", "Eve", "Fay", "Gus", "Hal"]
THINGS = ["pens", "cups", "eggs", "hats", "keys", "nuts", "toys", "maps"]


def make_arithmetic_question(rng: Random) -> Draft:
    """A word problem of one step or two."""
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    a, b = rng.randint(1, 6), rng.randint(1, 6)
    kind = rng.randrange(5)
    if kind < 2:
        question = f"{name} has {a} {thing} and buys {b} more. How many now?"
        return Draft(question, f"{a}+{b}={a + b}", str(a + b))
    if kind < 4:
        question = f"{name} has {a + b} {thing} and loses {b}. How many now?"
        return Draft(question, f"{a + b}-{b}={a}", str(a))
    a, b, c = rng.randint(2, 4), rng.randint(2, 4), rng.randint(1, 4)
    question = f"{name} has {a} bags of {b} {thing} and buys {c} more. How many now?"
    return Draft(question, f"{a}*{b}={a * b}, {a * b}+{c}={a * b + c}", str(a * b + c))


def make_algebra_question(rng: Random) -> Draft:
    """A linear equation in one unknown."""
    x, a, b = rng.randint(1, 6), rng.randint(2, 4), rng.randint(1, 6)
    name, verb = rng.choice("abknpxyz"), rng.choice(["Solve", "Find"])
    kind = rng.randrange(5)
    if kind < 2:
        return Draft(f"{verb} {name}: {name}+{b}={x + b}.", f"{x + b}-{b}={x}", str(x))
    if kind < 4:
        return Draft(f"{verb} {name}: {name}-{b}={x}.", f"{x}+{b}={x + b}", str(x + b))
    return Draft(f"{verb} {name}: {a}{name}={a * x}.", f"{a * x}/{a}={x}", str(x))


ORDERS = [("older", "oldest", "youngest"), ("taller", "tallest", "shortest")]


def make_logic_question(rng: Random) -> Draft:
    """Three people ordered by two comparisons, given in reverse a quarter of the time."""
    first, second, third = rng.sample(NAMES, 3)
    more, most, least = rng.choice(ORDERS)
    if rng.randrange(4):
        comparisons = f"{first} is {more} than {second}, {second} than {third}."
    else:
        comparisons = f"{second} is {more} than {third}, {first} than {second}."
    superlative, answer = rng.choice([(most, first), (least, third)])
    return Draft(f"{comparisons} Who is {superlative}?", f"{first} > {second} > {third}", answer)


KINDS = {
    "metal": ["iron", "gold", "zinc", "lead", "tin", "copper", "silver", "nickel"],
    "planet": ["Mars", "Venus", "Saturn", "Earth", "Uranus", "Neptune", "Jupiter", "Mercury"],
    "gas": ["neon", "argon", "helium", "oxygen", "radon", "xenon", "ozone", "methane"],
    "organ": ["heart", "liver", "lung", "brain", "skin", "kidney", "spleen", "eye"],
    "tool": ["saw", "drill", "hammer", "axe", "wrench", "file", "chisel", "pliers"],
    "tree": ["oak", "pine", "elm", "birch", "maple", "cedar", "willow", "ash"],
}


def make_english_kind_question(rng: Random) -> Draft:
    """Which of four kinds a thing is of."""
    thing, kind, options = draw_kind(rng, KINDS)
    stem = rng.choice(["What is {}?", "Which kind is {}?"]).format(thing)
    return make_choice_draft(stem, options, kind, f"{thing} is a {kind}.")


MISBELIEFS = {
    "whale": ("mammal", "fish"), "dolphin": ("mammal", "fish"), "bat": ("mammal", "bird"),
    "penguin": ("bird", "fish"), "spider": ("arachnid", "insect"), "tick": ("arachnid", "insect"),
    "tomato": ("fruit", "vegetable"), "cucumber": ("fruit", "vegetable"),
    "pepper": ("fruit", "vegetable"), "coral": ("animal", "plant"), "sponge": ("animal", "plant"),
    "mushroom": ("fungus", "plant"), "yeast": ("fungus", "plant"), "sun": ("star", "planet"),
    "shark": ("fish", "mammal"), "eel": ("fish", "snake"), "newt": ("amphibian", "reptile"),
    "koala": ("marsupial", "bear"), "worm": ("animal", "snake"), "ostrich": ("bird", "mammal"),
}  # fmt: skip
CLASSES = [
    "insect", "mammal", "fruit", "arachnid", "vegetable", "snake", "fish", "bear", "bird",
    "reptile", "marsupial", "fungus", "planet", "plant", "animal", "star", "amphibian",
]  # fmt: skip
"""The order in which options are offered, chosen so that each letter is right about as often."""
TRUTH_STEMS = ["What is a {}?", "What is a {} really?", "True of a {}:", "A {} is a"]


def make_misbelief_question(rng: Random) -> Draft:
    """What a thing is, with what many wrongly believe it is among the options."""
    thing = rng.choice(list(MISBELIEFS))
    right, believed = MISBELIEFS[thing]
    others = rng.sample([name for name in CLASSES if name not in (right, believed)], 2)
    options = [name for name in CLASSES if name in (right, believed, *others)]
    stem = rng.choice(TRUTH_STEMS).format(thing)
    return make_choice_draft(stem, options, right, f"Not {believed} but {right}.")
