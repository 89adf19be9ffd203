"""The number that a whole response gives, by one rule for every model and format.

1. What follows the model's own next question is not read, and what it takes back is superseded.
2. The clearest kind of statement decides: mark `####`, box or `<answer>`, "the answer is"; of boxes
   and sentences the last, while marks must agree. A later statement that differs leaves no answer.
3. Without one, the last sentence that has a number does, where it has one, or an equation, alone.
4. A statement whose number is not definite (`numbers.py`) leaves no answer: nothing else is read.
"""

import re
from fractions import Fraction

from kvdistill.evaluate.grading.numbers import (
    AmbiguousAnswerError,
    compute_value,
    drop_negated,
    find_numbers,
    read_value,
)
from kvdistill.evaluate.grading.plain_text import simplify_markup
from kvdistill.evaluate.grading.statements import (
    BOX,
    HEADING,
    MARK,
    MAX_STATEMENT,
    Statement,
    list_statements,
    split_parts,
)

AMBIGUOUS = "ambiguous"
"""The reading of a statement whose number is not definite."""

_ASIDE = re.compile(
    r"^\W*(?:since|if|when|as|after|because)\b[^,]*,|\b(?:because|since|as|where)\b.*$"
    r"|\((?:[^()]*)\)|\b(?:for|in|after|within|over|during|at|than|to \w+) (?:the )?\d[\d,.]*"
    r"|\b(?:the|those|these|every|each|per|all|first|last|next|other)\s+\d[\d,.]*",
    re.IGNORECASE,
)
"""What a sentence of prose says beside its number: reasons, brackets, times, whose number it is."""
_SUMS_UP = re.compile(
    r"\b(?:total|result|solution|sum|amount|cost|price|number)\b[^.=\d]{0,40}?"
    r"\b(?:is|was|are|comes to)\b",
    re.IGNORECASE,
)
_OFFERS = re.compile(
    r"\W*(?:let me know|feel free|i hope|hope (?:this|that)|is there anything|would you like)",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(r"\b(?:so|which|thus|therefore|leaving|or)\b.*\d", re.IGNORECASE)


def extract_number(text: str) -> str | None:
    """The number that `text` gives as its answer, as digits or `a/b`; None where unclear."""
    try:
        value = find_answer(text)
    except AmbiguousAnswerError:
        return None
    return None if value is None else str(value)


def find_answer(text: str) -> Fraction | None:
    """The value of the answer; None without one. Raises AmbiguousAnswerError where unclear."""
    answer, is_stated = None, False
    for index, part in enumerate(split_parts(text)):
        value = read_statements(list_statements(part, replaces=index > 0))
        if value is not None:
            answer, is_stated = value, True
        elif (value := _read_prose(part)) is not None and not (is_stated and value == answer):
            if is_stated:
                # Taken back, and no new answer in so many words.
                raise AmbiguousAnswerError(part)
            answer = value
    return answer


def read_statements(statements: list[Statement]) -> Fraction | None:
    """The value of the clearest statement that has a number; None where none has.

    `statements` come in order of kind, then of place. Raises AmbiguousAnswerError where it is not
    definite, where marks differ, and where what is stated after it differs.
    """
    readings = [(each, _read_statement(each)) for each in statements]
    readings = [(each, reading) for each, reading in readings if reading is not None]
    if not readings:
        return None
    of_kind = [reading for each, reading in readings if each.kind == readings[0][0].kind]
    chosen, answer = readings[len(of_kind) - 1]
    later = [reading for each, reading in readings if each.start > chosen.start]
    agree = set(of_kind if chosen.kind == MARK else ()) | {
        reading for reading in later if reading != AMBIGUOUS
    }
    if answer == AMBIGUOUS or not agree <= {answer}:
        raise AmbiguousAnswerError(chosen.text)
    assert isinstance(answer, Fraction)
    return answer


def _read_statement(statement: Statement) -> Fraction | str | None:
    """The value of one statement, AMBIGUOUS, or None where it has no number."""
    plain = simplify_markup(statement.text)
    try:
        value = read_value(plain)
    except AmbiguousAnswerError:
        return None if statement.kind == HEADING else AMBIGUOUS
    # A box is an answer, whatever is in it.
    return AMBIGUOUS if value is None and statement.kind == BOX and plain else value


def _read_prose(part: str) -> Fraction | None:
    """The value of the last sentence that has a number."""
    plain = simplify_markup(part[-MAX_STATEMENT * 2 :])
    sentences = re.split(r"(?<=[^\s.])[.!?](?:\s|$)|[\n\u3002]", plain)
    for sentence in map(drop_negated, reversed(sentences)):
        numbers = list(find_numbers(sentence))
        if not numbers or _OFFERS.match(sentence):
            continue
        if any(re.match(r"[,:]\d", sentence[match.end() :]) for match in numbers):
            raise AmbiguousAnswerError(sentence)
        return _read_prose_sentence(sentence, numbers)
    return None


def _read_prose_sentence(sentence: str, numbers: list[re.Match[str]]) -> Fraction:
    """The one number of a sentence; of an equation, what stands after the last equals sign."""
    values: set[Fraction | None]
    if "=" in sentence:
        before, _, after = sentence.rpartition("=")
        side, conclusion = after, _find_conclusion(after)
        if len(list(find_numbers(after))) == len(conclusion):
            side = before.rpartition("=")[2]
        values = {read_value(side), *map(compute_value, conclusion)}
    elif match := _SUMS_UP.search(sentence):
        values = {read_value(sentence[match.end() :])}
    else:
        values = set(map(compute_value, find_numbers(_ASIDE.sub(" ", sentence))))
        values = values if len(values) == 1 else set(map(compute_value, numbers))
    (value, *others) = values
    if others or value is None:
        raise AmbiguousAnswerError(sentence)
    return value


def _find_conclusion(side: str) -> list[re.Match[str]]:
    """The numbers of what follows an equation as its conclusion: "7 = x, so he is 7"."""
    match = _CONCLUDES.search(side)
    return list(find_numbers(match[0])) if match else []
