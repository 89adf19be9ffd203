"""What becomes of an attack, and which attacks there are."""

import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.bench import attacks

NAME = re.compile(r"attack_(\d{2})_(\w+)")
SLOW_NUMBERS = frozenset({27})
"""Attacks that run whole benches: minutes."""


@dataclass(frozen=True)
class Outcome:
    """How an attempt to get a wrong number through ended."""

    verdict: Literal["refused", "shown", "passed"]
    """refused: with an error; shown: the number stands, and beside it what is wrong with it."""
    evidence: str
    """What was read off the error or the page, in one line; for `passed`, what got through."""


@dataclass(frozen=True)
class Attack:
    """One attack of the numbered list."""

    number: int
    name: str
    attempt: Callable[[Path], Outcome]


def collect_attacks() -> list[Attack]:
    """Every function `attack_NN_name` of every module of this package, by number and name.

    A module counts for what it defines itself, not for what it imports.
    """
    collected = []
    for info in pkgutil.iter_modules(attacks.__path__, f"{attacks.__name__}."):
        module = importlib.import_module(info.name)
        for name, function in vars(module).items():
            parts = NAME.fullmatch(name)
            if parts and getattr(function, "__module__", None) == module.__name__:
                words = parts[2].replace("_", " ")
                collected.append(Attack(int(parts[1]), words, function))
    return sorted(collected, key=lambda attack: (attack.number, attack.name))


def judge_text(text: str, *needed: str) -> Outcome:
    """Shown where the text has all of `needed` (case aside), else passed with what it lacks."""
    missing = [part for part in needed if part.lower() not in text.lower()]
    if missing:
        return Outcome("passed", f"nothing says {'; '.join(missing)}")
    return Outcome("shown", extract_sentence(text, needed[0]))


def extract_sentence(text: str, part: str, width: int = 150) -> str:
    """The surroundings of a part's first occurrence, on one line."""
    at = text.lower().find(part.lower())
    begin = max(0, at - width // 3)
    return " ".join(text[begin : begin + width].split())
