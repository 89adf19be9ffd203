"""From what a model wrote to the answer it gives: functions of the text and the kind of answer.

A missing or unclear answer is None, never a guess. Numbers are read by `read_number.py`, letters by
`letters.py`, BBH's forms by `bbh.py`; here stand answers that are text or formulas, and the form in
which lm-eval takes any of them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kvdistill.evaluate.grading.letters import extract_letter, list_options
from kvdistill.evaluate.grading.numbers import is_bare_number
from kvdistill.evaluate.grading.plain_text import simplify_markup
from kvdistill.evaluate.grading.read_number import extract_number
from kvdistill.evaluate.grading.statements import (
    BOX,
    HEADING,
    MARK,
    Statement,
    list_statements,
    split_parts,
)

INVALID = "[invalid]"
"""The answer of an output without an answer, as lm-eval's own filters give it."""

Doc = Mapping[str, Any]
Extractor = Callable[[str, Doc], str | None]

_MATH = re.compile(
    r"(?<![\\\w])\$\$?((?:[^$\\]|\\.)+?)\$\$?(?!\w)|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL
)


def extract_after_mark(text: str) -> str | None:
    """What follows `####`, to the end of its line: the study's own form of an answer.

    None without a mark, and where marks differ.
    """
    answer = None
    for part in split_parts(text):
        marks = [s for s in list_statements(part) if s.kind in (MARK, HEADING)]
        answers = {_strip_answer(mark.text) for mark in marks}
        if len({(each or "").casefold() for each in answers}) == 1:
            answer = answers.pop()
        elif answers:
            answer = None
    return answer


def extract_statement(text: str) -> str | None:
    """The text of the clearest statement: mark, box or `<answer>`, sentence; else None."""
    answer = None
    for index, part in enumerate(split_parts(text)):
        statements = [s for s in list_statements(part, replaces=index > 0) if s.text.strip()]
        answer = _choose_text(statements) or answer
    return answer


def extract_formula(text: str) -> str | None:
    r"""A formula: that of the clearest statement, else what the last line says.

    Of a sentence with one formula between dollars or `\(`, that; of prose, the last such formula
    of its last line, or its number; a line that stands alone is the answer as a whole.
    """
    statement = extract_statement(text)
    if statement is not None:
        return _pick_formula(statement)
    lines = [line for line in (split_parts(text) or [""])[-1].splitlines() if line.strip()]
    if not lines:
        return None
    if len(lines) == 1 and not re.search(r"[A-Za-z]{2,}\s+[A-Za-z]{2,}", lines[0]):
        return _strip_answer(_pick_formula(lines[0]))
    formulas = [first or second or third for first, second, third in _MATH.findall(lines[-1])]
    if formulas:
        return _strip_answer(formulas[-1])
    return extract_number(text)


def extract_record_answer(text: str, doc: Doc) -> str | None:
    """The answer in the form of a record's gold one: a letter of its options, a number, or text."""
    if letters := doc.get("letters"):
        return extract_letter(text, "".join(letters), list_options(doc["question"]))
    return extract_number(text) if is_bare_number(doc["target"]) else extract_statement(text)


def extract_exam_letter(text: str, doc: Doc) -> str | None:
    """The letter of a question whose options stand under their letters in the document."""
    options = {letter: str(doc[letter]) for letter in doc["letters"]}
    return extract_letter(text, "".join(options), options)


def make_filter(
    extract: Extractor,
) -> Callable[[Sequence[Sequence[str]], Sequence[Doc]], list[str]]:
    """An extractor in the form of lm-eval's custom filter.

    That takes the outputs of every document (of each, the first is read) and returns one answer a
    document, INVALID where there is none.
    """

    def apply(outputs: Sequence[Sequence[str]], docs: Sequence[Doc]) -> list[str]:
        return [
            extract(output[0], doc) or INVALID for output, doc in zip(outputs, docs, strict=True)
        ]

    return apply


def make_text_filter(extract: Callable[[str], str | None]) -> Any:
    """The same, of an extractor that needs nothing but the text."""
    return make_filter(lambda text, doc: extract(text))  # noqa: ARG005


def _choose_text(statements: list[Statement]) -> str | None:
    """The last text of the clearest kind; None where marks differ.

    A mark with words may be a heading: a sentence after it counts more, and one before it less.
    """
    marks = {_strip_answer(each.text) for each in statements if each.kind == MARK}
    if len(marks) > 1 or not statements:
        return None
    clear = [each for each in statements if each.kind == statements[0].kind and each.kind <= BOX]
    chosen = clear[-1] if clear else max(statements, key=lambda each: each.start)
    return _strip_answer(chosen.text)


def _pick_formula(sentence: str) -> str:
    """The one formula of a sentence that has one; else the sentence without reasons."""
    formulas = [first or second or third for first, second, third in _MATH.findall(sentence)]
    if len(formulas) == 1:
        return formulas[0].strip()
    return re.split(r",?\s+(?:because|since|not|where|for all)\b", sentence, maxsplit=1)[0].strip()


def _strip_answer(text: str) -> str | None:
    """Without emphasis, surrounding dollars and quotes, and a final period; None for nothing."""
    text = re.sub(r"\*\*|__|`", "", text).strip()
    whole = re.fullmatch(r"\$\$?([^$]*[^$\\])\$\$?\.?", text)
    text = (whole[1] if whole else text).strip("\"'").strip()
    # Two periods or more are an ellipsis, which is no end of an answer.
    text = re.sub(r"(?<=[^.])\.$", "", text).strip()
    return text if simplify_markup(text) else None
