"""The answer of a record by its kind: a text as it stands, or the number or letter it comes to.

What cannot be read for sure is no answer: such a row is refused or left out, never guessed.
"""

import re

from kvdistill.data.contamination.normalise import fold_text
from kvdistill.data.rows.worked_number import NoDefiniteNumberError, read_worked_number
from kvdistill.errors import ConfigError, RowError

ANSWER_KINDS = ("text", "number", "letter")
LETTER_READ, NUMBER_READ = "letter of an option", "number of a worked answer"
"""How an answer came from another text, as it is counted."""
_OPTION = re.compile(
    r"^[ \t]*\(?([A-J])[.)\uff0e\u3001\uff09:\uff1a][ \t]*(\S.*?)[ \t]*$", re.MULTILINE
)
_INLINE_OPTION = re.compile(
    r"(?:(?<=[\s\u3002?\uff1f(\uff08;\uff1b,\uff0c\u3001])|^)([A-J])[.)\uff0e\u3001\uff09:\uff1a]\s*"
    r"(.+?)(?=[\s;\uff1b,\uff0c(\uff08]+[A-J][.)\uff0e\u3001\uff09:\uff1a]|\n|$)"
)
_BARE_LETTER = re.compile(r"\W*([A-Ja-j])\W*")
_STATED_LETTER = re.compile(
    r"(?:答案(?:应该|应|就)?(?:是|为|选|[:\uff1a])*|故?选(?:择|项|[:\uff1a])*|####"
    r"|(?i:\b(?:answer|option|choice)(?: is|[:=])?|\bans[:=.]?))"
    r"[\s:\uff1a\"'\u201c(\uff08*\[{\\$]*(?:boxed\{)?([A-J])(?![A-Za-z0-9])"
)


def check_answer_kind(kind: str, setting: str) -> None:
    """Raises ConfigError for a kind that is none."""
    if kind not in ANSWER_KINDS:
        raise ConfigError(f"{setting}={kind!r} must be one of {', '.join(ANSWER_KINDS)}.")


def read_final_answer(kind: str, question: str, answer: str, place: str) -> tuple[str, str | None]:
    """(the answer, how it was read where it is not what stood there).

    With lettered options in the question, an answer that is one of them is its letter, whatever
    the kind. Raises RowError, beginning with `place`, where the kind asks for what is not there.
    """
    options = list_option_texts(question)
    letter = find_option_letter(answer, options, is_worked=kind != "text") if options else None
    if letter is not None:
        return letter, LETTER_READ if letter != answer.strip() else None
    if kind == "text":
        return answer, None
    if kind == "letter" or options:
        raise RowError(
            "no one letter of an option",
            f"{place}, field answer: it names no one of the options "
            f"{', '.join(options) or 'that the question would list as lines `A. ...`'}. "
            "Correct or remove the row.",
        )
    try:
        number = read_worked_number(answer)
    except NoDefiniteNumberError as error:
        raise RowError(
            "no one number",
            f"{place}, field answer: no one number ends it ({error}). Correct or remove the row, "
            "or take its text as it stands with answers=text.",
        ) from error
    return number, NUMBER_READ if number != answer.strip() else None


def list_option_texts(question: str) -> dict[str, str]:
    """Letter -> text of the options that a question lists from A on; empty where it lists none."""
    for pattern in (_OPTION, _INLINE_OPTION):
        options = {match[1]: match[2] for match in pattern.finditer(question)}
        if len(options) > 1 and "".join(options) == "ABCDEFGHIJ"[: len(options)]:
            return options
    return {}


def find_option_letter(answer: str, options: dict[str, str], *, is_worked: bool) -> str | None:
    """The letter that an answer comes to; None where that is not one for sure.

    `is_worked` says that it may be a worked answer, which ends with the letter or its option.
    """
    if (bare := _BARE_LETTER.fullmatch(answer)) and bare[1].upper() in options:
        return bare[1].upper()
    folded = _fold_option(answer)
    same = [
        letter
        for letter, text in options.items()
        if folded in (_fold_option(text), _fold_option(f"{letter}. {text}"))
    ]
    if len(same) == 1 or not is_worked:
        return same[0] if len(same) == 1 else None
    letters = {match[1] for match in _STATED_LETTER.finditer(answer)}
    if letters:
        return letters.pop() if len(letters) == 1 and letters <= set(options) else None
    return _match_worked_number(answer, options)


def _match_worked_number(answer: str, options: dict[str, str]) -> str | None:
    """The letter of the only option that is the number which a worked answer ends with."""
    try:
        number = read_worked_number(answer)
    except NoDefiniteNumberError:
        return None
    same = [letter for letter, text in options.items() if _is_number(text, number)]
    return same[0] if len(same) == 1 else None


def _is_number(text: str, number: str) -> bool:
    try:
        return read_worked_number(text) == number
    except NoDefiniteNumberError:
        return False


def _fold_option(text: str) -> str:
    """Case, width, spaces and the end point tell no two options apart; signs do."""
    return "".join(fold_text(text).split()).rstrip(".\u3002")
