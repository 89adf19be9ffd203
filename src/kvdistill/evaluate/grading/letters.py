"""The letter that a response to a multiple-choice question gives, in English and Chinese.

A letter that is ruled out ("B is wrong", "not B", "排除B") is none, nor is the article of "A red
one"; two letters that are left are no answer.
"""

import re
from collections.abc import Mapping

from kvdistill.evaluate.grading.plain_text import simplify_markup
from kvdistill.evaluate.grading.statements import (
    SENTENCE,
    Statement,
    cut_sentence,
    list_statements,
    split_parts,
)

_JOINS = (
    r"(?:and|or|is|are|was|because|since|as|for|which|but|not|with|would|seems|looks|must|being)\b"
)
# Before lower-case words a capital is an article or a pronoun: "A red one", "I think".
_TOKEN = re.compile(
    r"\(([A-Za-z])\)|(?<![A-Za-z0-9.-])(?<![A-Za-z]['\u2019])([A-Z])"
    rf"(?![A-Za-z0-9-]|['\u2019][A-Za-z]|\.[A-Za-z]|[ ](?!{_JOINS})[a-z])"
)
_STARTS = re.compile(
    r"[\s\"'(\[]*(?:(?:option|choice|letter|answer|选项|选择|选)\s*)?"
    r"\(?([A-Za-z])(?:\)|\s?[.:,\u3001]|\s*$)"
    r"(?!\s?(?:and|or|&|和|或)?\s?\(?[A-Z](?:\)|[.,\u3001]|\s*$))",
    re.IGNORECASE,
)
_LETTER = r"(?:option |choice |answer |选项)?\(?[A-Z]\)?"
_LETTERS = rf"{_LETTER}(?:\s?(?:,|\u3001|,?\s?and|,?\s?or|和|与|及|或)\s?{_LETTER})*"
_RULED_OUT = re.compile(
    r"(?i:\bnot|n't|\brather than|\binstead of|\brul(?:e|es|ing) out|\beliminat\w+|\bexclud\w+"
    r"|\bneither|不是|并非|不选|而非|排除|除了)(?:\s+(?:be|option|the))*\s*"
    rf"{_LETTERS}(?:\s+nor\s+{_LETTER})?"
    rf"|(?<![A-Za-z0-9]){_LETTERS}\s?"
    r"(?:(?:is|are|was|seems?|looks?|can(?=not|'t))\s?(?:\w+ly |all |both |out because )?"
    r"(?:wrong|incorrect|false|not\b|n't|out\b|ruled out|eliminated|excluded|impossible)"
    r"[^.;,\u3002\uff1b]*"
    r"|(?:选?项)?(?:都|均)?(?:是)?(?:错误?|不对|不正确|不符合|错)的?)",
)
_REASON = re.compile(
    r"\s*(?:\b(?:because|since|as|while|whereas)\b|因为|因此|由于|理由|, where|\bfor the\b).*$",
    re.DOTALL,
)
_CHOSEN = re.compile(
    r"(?:故|应|因此|所以|应该|正确的?)?(?:选择|选项|选)(?:是|为)?\s*:?\s*"
    r"(?=\(?[A-Z]\b|\(?[A-Z][^A-Za-z])"
    r"|\b(?:choose|pick|select|go with)\s+(?:option\s|choice\s)?(?=\(?[A-Z]\b)"
)
_RIGHT = re.compile(
    r"([^.\n;,\u3002]{0,30}?)\s?(?:is|是|选项|项)?\s?(?:the )?(?:correct|right|true|正确|对的)"
)


def extract_letter(text: str, letters: str, options: Mapping[str, str] | None = None) -> str | None:
    """The one of `letters` that `text` gives as its answer; None where none or several are left.

    `options` are the texts of the letters: an answer that is one of them, in words, is its letter.
    """
    answer = None
    for index, part in enumerate(split_parts(text)):
        statements = list_statements(part, replaces=index > 0) or _list_choices(part)
        if statements:
            kind = statements[0].kind
            last = [each for each in statements if each.kind == kind][-1]
            answer = read_letter(last.text, letters, options)
        elif any(match for match in _TOKEN.finditer(simplify_markup(part))) or answer is None:
            answer = _read_last_sentence(part, letters, options)
    return answer


def read_letter(
    statement: str, letters: str, options: Mapping[str, str] | None = None
) -> str | None:
    """The letter of one statement; None where it has none, or several."""
    plain = simplify_markup(statement).strip()
    # "B. Vitamin C": what follows the letter is the option's own text.
    if (
        (match := _STARTS.match(plain))
        and match[1].upper() in letters
        and not _RULED_OUT.match(plain)
    ):
        return match[1].upper()
    # Ruled out first: a reason may name the others.
    kept = _REASON.sub("", _RULED_OUT.sub(" ", plain))
    tokens = {(m[1] or m[2]).upper() for m in _TOKEN.finditer(kept)} & set(letters)
    if len(tokens) == 1:
        return tokens.pop()
    return None if tokens else _match_option(plain, options or {})


def parse_letter(answer: str, options: Mapping[str, str]) -> str | None:
    """The letter of a gold answer, however it is written: `B`, `(B)`, `B. its text`, `答案是B`.

    None for anything that is more than a letter or is none of `options`: a free answer.
    """
    plain = simplify_markup(answer).strip()
    stated = [statement.text for statement in list_statements(plain)][-1:]
    match = re.fullmatch(
        r"(?:option\s|选项?|choice\s)?\(?([A-Z])(?:\)?[.:\u3001,]?$|(?:\)|\)?[.:\u3001])\s*(.+))",
        (stated[0] if stated else plain).strip(),
        re.DOTALL,
    )
    if match is None or match[1] not in options:
        return None
    is_letter = match[2] is None or _fold(match[2]) == _fold(options[match[1]])
    return match[1] if is_letter else None


def list_options(question: str) -> dict[str, str]:
    """The options of a question by letter: its lines that begin with `A.`, `(A)`, `A)` or `A:`."""
    lines = re.finditer(
        r"^[ \t]*(?:\(([A-Z])\)|([A-Z])[.):\uff0e\u3001\uff1a\uff09])[ \t]*(.*)$",
        question,
        re.MULTILINE,
    )
    return {line[1] or line[2]: line[3].strip() for line in lines}


def _match_option(plain: str, options: Mapping[str, str]) -> str | None:
    """The letter of the option whose text is the whole statement."""
    folded = _fold(plain)
    same = [letter for letter, text in options.items() if folded and _fold(text) == folded]
    return same[0] if len(same) == 1 else None


def _list_choices(part: str) -> list[Statement]:
    """Statements in other words: `选B`, "B is correct", or a first line that is an option alone."""
    plain = simplify_markup(part)
    statements = [
        Statement(SENTENCE, m.start(), cut_sentence(plain[m.end() :]))
        for m in _CHOSEN.finditer(plain)
        if not re.search(r"(?:不|not |n't )$", plain[: m.start()])
    ]
    statements += [
        Statement(SENTENCE, m.start(), m[1])
        for m in _RIGHT.finditer(_RULED_OUT.sub(" ", plain))
        if _TOKEN.search(m[1])
    ]
    lines = plain.splitlines() or [""]
    if not statements and len([line for line in lines if _STARTS.match(line)]) == 1:
        statements += [Statement(SENTENCE, 0, lines[0])] if _STARTS.match(lines[0]) else []
    return statements


def _read_last_sentence(part: str, letters: str, options: Mapping[str, str] | None) -> str | None:
    """The letter of the last sentence that has one which is not ruled out."""
    plain = simplify_markup(part)
    sentences = re.split(
        r"(?<=[^\s.A-Z])[.!?](?:\s|$)|[\n\u3002]|(?<=[A-Z)])\.(?=\s+[A-Z(])", plain
    )
    for sentence in reversed(sentences):
        if _TOKEN.search(_RULED_OUT.sub(" ", sentence)):
            return read_letter(sentence, letters, options)
    return _match_option(plain, options or {})


def _fold(text: str) -> str:
    return re.sub(r"[^\w%+/-]+", " ", simplify_markup(text).casefold()).strip()
