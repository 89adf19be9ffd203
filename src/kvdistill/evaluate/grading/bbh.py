"""The answers of BIG-Bench Hard: an option, a truth value, a number, sorted words, or brackets.

What is read follows the form of an item's gold answer, never its value. lm-eval's own pattern asks
for "the answer is X." with the final period, and takes `**(A)**`, "(A)" without a period and
"Answer: (A)" for wrong ones.
"""

import re
from collections.abc import Mapping
from typing import Any

from kvdistill.evaluate.grading.letters import extract_letter, list_options
from kvdistill.evaluate.grading.plain_text import simplify_markup
from kvdistill.evaluate.grading.read_number import extract_number
from kvdistill.evaluate.grading.statements import list_statements, split_parts
from kvdistill.evaluate.grading.truth_values import extract_truth_value, find_pair

LETTERS = "ABCDEFGHIJKLMNOPQR"
_OPTION = re.compile(r"\(([A-R])\)")
_BRACKET = re.compile(r"[()\[\]{}<>]")
_LIST_ITEM = re.compile(r"^\s*(?:\d+[.)]|[-*\u2022])\s+(.+)$", re.MULTILINE)


def extract_bbh_answer(text: str, doc: Mapping[str, Any]) -> str | None:
    """The answer of `text` in the form of `doc["target"]`; None where it gives none, or several."""
    gold = doc["target"].strip()
    if _OPTION.fullmatch(gold):
        letter = extract_letter(text, LETTERS, list_options(doc.get("input", "")))
        return f"({letter})" if letter else None
    if pair := find_pair(gold):
        return extract_truth_value(text, pair)
    if re.fullmatch(r"-?\d+", gold):
        return extract_number(text)
    return extract_words(text) if re.search(r"[a-z]", gold) else extract_brackets(text)


def extract_bbh_direct_answer(text: str, doc: Mapping[str, Any]) -> str | None:
    """The same where nothing else was asked for: what is stated, else what the first line says."""
    if any(list_statements(part) for part in split_parts(text)):
        return extract_bbh_answer(text, doc)
    lines = [line for line in text.splitlines() if line.strip()]
    return extract_bbh_answer(lines[0], doc) if lines else None


def match_bbh_answer(response: str, gold: str, question: str = "") -> bool:
    """Whether an extracted answer equals the gold one: words in order, brackets one by one.

    Of brackets, the sequence of `question` may stand before those that close it.
    """
    if re.search(r"[A-Za-z0-9]", gold):
        return " ".join(response.split()).casefold() == " ".join(gold.split()).casefold()
    opened, closing = _keep_brackets(question.rpartition("Input:")[2]), _keep_brackets(gold)
    return _keep_brackets(response) in (closing, f"{opened} {closing}")


def extract_words(text: str) -> str | None:
    """The words of a list, in order, folded: of a sentence, or of the lines below it."""
    statement, below = _find_statement(_take_last_part(text))
    items = _LIST_ITEM.findall(below)
    # "The sorted words are: ...": what introduces a list is no part of it.
    plain = " ".join(items) if len(items) > 1 else statement.rpartition(":")[2]
    words = re.findall(r"[a-z'-]*[a-z][a-z'-]*", simplify_markup(plain).casefold())
    # The last of a list is often joined by "and".
    joined = re.search(r",?\s+and\s+[\w'-]+\W*$", plain, re.IGNORECASE)
    words = words[:-2] + words[-1:] if joined and len(words) > 1 else words
    return " ".join(words) or None


def extract_brackets(text: str) -> str | None:
    """The brackets of the clearest statement that has some, or of the last such line."""
    part = _take_last_part(text)
    lines = [line for line in part.splitlines() if _BRACKET.search(line)]
    # Braces that close nothing are the answer itself, so that a box ends with its line.
    if boxes := re.findall(r"\\boxed\s*\{(.*)\}", part):
        return _keep_brackets(boxes[-1])
    statements = [each for each in list_statements(part) if _BRACKET.search(each.text)]
    if statements:
        lines = [each.text for each in statements if each.kind == statements[0].kind]
    return _keep_brackets(lines[-1]) if lines else None


def compute_chance(question: str, target: str) -> float:
    """Expected score of guessing: one over the options, a half for a truth value, else 0."""
    if _OPTION.fullmatch(target.strip()):
        _, _, options = question.rpartition("Options:")
        return 1 / max(len(set(_OPTION.findall(options))), 1)
    return 0.5 if find_pair(target) else 0.0


def _take_last_part(text: str) -> str:
    return next((part for part in reversed(split_parts(text)) if part.strip()), "")


def _find_statement(part: str) -> tuple[str, str]:
    """The last statement of the clearest kind, or the last line, and the text from there on."""
    statements = [each for each in list_statements(part) if re.search(r"[A-Za-z]", each.text)]
    if statements:
        chosen = [each for each in statements if each.kind == statements[0].kind][-1]
        return chosen.text, part[chosen.start :].partition("\n")[2]
    lines = [line for line in part.splitlines() if line.strip()]
    return (lines[-1] if lines else ""), part


def _keep_brackets(text: str) -> str:
    # \\( and \\[ open mathematics, \\{ is a brace, and \\langle an angle bracket.
    text = re.sub(r"\\[()\[\]]|\\text\w*(?=\{)", "", text)
    text = text.replace("\\langle", "<").replace("\\rangle", ">")
    return " ".join(_BRACKET.findall(text))
