"""Where a text gives its answer: after a mark, in a box, or in a sentence that says so.

What follows the model's own next question is not part of its answer, and what it takes back
("Wait, ...") stands in another part than what replaces it.
"""

import re
from dataclasses import dataclass, replace
from itertools import pairwise

from kvdistill.evaluate.grading.plain_text import simplify_markup

MARK, BOX, SENTENCE, HEADING = 0, 1, 2, 3
"""Kinds of statement, the clearest first; a heading is a mark that words follow."""

ANSWER_PHRASE = re.compile(
    r"(?:\b(?:answer|ans)\b(?:[^.\n:=?]{0,60}?\b(?:is(?=n['\u2019]t)|is|was|will be|would be"
    r"|should be|must be|equals|comes out to)\b|[^.\n:=?\d]{0,40}?[:=\uff1a])"
    r"|答案(?:应该|应当|应|就|选)?\s?(?:是|为|:|=|\uff1a|(?=\d|[A-Z]\b))"
    r"|(?:^|(?<=[\n\u3002]))\s*答\s?[:,\uff1a\uff0c])[ \t]*[:=\uff1a]?[ \t]*",
    re.IGNORECASE,
)
r"""What introduces an answer: "the answer (to ...) is", "Answer:", and the same in Chinese."""

_QUESTION = re.compile(
    r"\n\s*[#*_\s]*(?:question|problem|exercise|example|human|user|instruction|q"
    r"|问题|题目|问|例题?)\s?\d*[*_]*\s?[:\uff1a.]"
    r"|(?<=\s)Q(?:uestion)?\s?\d*:|<\|(?:im_start|im_end|endoftext|eot_id)\|>|</s>|\[INST\]",
    re.IGNORECASE,
)
_CORRECTION = re.compile(
    r"(?:(?<=[.!?\n,;-])|(?<=\u3002)|(?<=\.\.\.))\s*"
    r"(?:\b(?:but |oh |hmm,? )?(?:wait|actually|no|oops|sorry|correction|scratch that"
    r"|hold on)\b\s*(?=[,.:;!\-\u2014\n]|that|i made)"
    r"|\b(?:let me (?:re|correct|fix|double)\w*)|i made (?:a|an) (?:mistake|error)"
    r"|等等|不对|更正|更正为|我错了)",
    re.IGNORECASE,
)
_REPLACEMENT = re.compile(
    r"^[\s,.:;!\u2014-]*(?:(?:wait|no|actually|sorry|oops|correction|不对)[\s,.:;!\u2014-]*)*"
    r"(?:(?:it|that|this|the total)\s?(?:is|'s|\u2019s|should be|would be|must be)\s"
    r"|should be\s|i meant\s|make (?:it|that)\s|应该是|应为|是)",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*")
_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.DOTALL | re.IGNORECASE)
_MARK_LINE = re.compile(r"(?<!#)####(?!#)[ \t]*([^\n#]*(?:#(?!#)[^\n#]*)*)")
_LABEL = re.compile(
    r"^[\s*_]*(?:the\s|so\s|my\s)*(?:final\s|correct\s)*(?:answer|ans|result|答案|答)\b"
    r"\s*(?:is\b|是|为)?[\s*_:=\uff1a]*",
    re.IGNORECASE,
)
_SECTION = re.compile(
    r"[\s*_]*(?:step|part|solution|explanation|reasoning|analysis|calculation|given|problem"
    r"|understand|question|breakdown|verif\w+|check|note|步骤|解)",
    re.IGNORECASE,
)
MAX_RUN = 70
"""One character more often than this is a model that fell into a loop; so are longer texts and
sentences, and each is cut, as patterns take quadratic time."""
MAX_TEXT, MAX_STATEMENT = 16_000, 600

_RUN = re.compile(r"(.)\1{70,}", re.DOTALL)
_BLANK = re.compile(r"[\s$*_:=\uff1a]*(?:\\\[|\\\(|\\begin\{\w+\*?\})?[\s$*_]*")


@dataclass(frozen=True)
class Statement:
    """One place that gives an answer, as it was written."""

    kind: int
    start: int
    text: str


def split_parts(text: str) -> list[str]:
    """What the model answered to this question, parted where it takes back what it said."""
    _, closed, after = text.rpartition("</think>")
    text = after if closed and after.strip() else text
    text = _RUN.sub(lambda match: match[1] * MAX_RUN, text)
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT // 2] + "\n" + text[-MAX_TEXT // 2 :]
    for question in _QUESTION.finditer(text):
        # A question that is said over again before anything else is no next one.
        if re.search(r"[0-9A-Za-z\u4e00-\u9fff]", text[: question.start()]):
            text = text[: question.start()]
            break
    cuts = [0, *(match.start() for match in _CORRECTION.finditer(text)), len(text)]
    return [text[start:end] for start, end in pairwise(cuts)]


def list_statements(part: str, *, replaces: bool = False) -> list[Statement]:
    """All places of `part` that give an answer, in order of kind, then of place.

    `replaces` says that the part takes back another, so that "it is 18" gives an answer too.
    """
    statements = [*_list_marks(part), *_list_boxes(part), *_list_sentences(part)]
    if replaces and (match := _REPLACEMENT.match(part)):
        statements.append(Statement(SENTENCE, match.end(), cut_sentence(_take_after(part, match))))
    statements = [replace(each, text=each.text[:MAX_STATEMENT]) for each in statements]
    return sorted(statements, key=lambda each: (each.kind, each.start))


def match_braces(text: str) -> dict[int, int]:
    r"""The place of each opening brace with that of its closing one; `\{` and `\}` are neither."""
    ends, opened = {}, []
    for match in re.finditer(r"(?<!\\)[{}]", text):
        if match[0] == "{":
            opened.append(match.start())
        elif opened:
            ends[opened.pop()] = match.start()
    return ends


def cut_sentence(text: str) -> str:
    """The first sentence of `text`; the first line that says anything, where its own is empty."""
    line, _, below = text.partition("\n")
    while below and _BLANK.fullmatch(line):
        line, _, below = below.partition("\n")
        # An item of a list: its number is none of the answer's.
        line = re.sub(r"^\s*(?:\d{1,2}[.)]|[-*\u2022])\s+(?=.*\d)", "", line)
    # A sentence ends at a period before a space: that of "3.5" ends none, nor do the last of "...".
    return re.split(r"(?<=[^\s.])(?<!\b[Aa]pprox)(?<!\bRs)\.(?:\s|$)|\u3002", line, maxsplit=1)[0]


def _take_after(part: str, match: re.Match[str]) -> str:
    return part[match.end() : match.end() + 2 * MAX_STATEMENT]


def _list_marks(part: str) -> list[Statement]:
    """What follows each `####`, unless it is the heading of a step or a section."""
    marks, number = [], 0
    for match in _MARK_LINE.finditer(part):
        line = _LABEL.sub("", match[1], count=1)
        if _BLANK.fullmatch(line):
            # Nothing, or the word "Answer" alone: it stands below.
            line = cut_sentence(_take_after(part, match).lstrip("\n"))
            line = "" if line.lstrip().startswith("#") else line
        numbered = re.match(r"[\s*_]*(\d{1,2})[.):]\s+[*_]*[A-Za-z\u4e00-\u9fff]", line)
        if numbered and int(numbered[1]) == number + 1:
            number += 1
        elif re.match(r"[\s*_$\\(\[{~\u2248=.-]*(?:[\d\uff10-\uff19]|\W*$)", simplify_markup(line)):
            marks.append(Statement(MARK, match.start(), line))
        elif line.strip() and not _SECTION.match(line):
            kind = MARK if line != match[1] else HEADING
            marks.append(Statement(kind, match.start(), line))
    return marks


def _list_boxes(part: str) -> list[Statement]:
    r"""`\boxed{...}`, `\boxed 5` and `<answer>`; a box that never closes is passed over."""
    ends, boxes = match_braces(part), []
    for match in _BOX.finditer(part):
        if part[match.end() : match.end() + 1] != "{":
            bare = re.match(r"[^\s$]+", part[match.end() :])
            boxes += [Statement(BOX, match.start(), bare[0])] if bare else []
        elif (end := ends.get(match.end())) is not None:
            boxes.append(Statement(BOX, match.start(), part[match.end() + 1 : end]))
    return boxes + [Statement(BOX, m.start(), m[1]) for m in _TAGGED.finditer(part)]


def _list_sentences(part: str) -> list[Statement]:
    plain = re.sub(r"\*\*|__|`", lambda match: " " * len(match[0]), part)
    sentences = [
        Statement(SENTENCE, match.start(), cut_sentence(_take_after(plain, match)))
        for match in ANSWER_PHRASE.finditer(plain)
    ]
    lines = re.finditer(
        r"(?:^|\n)[#\s]*(?:the )?(?:final |correct )?answer[ \t]*\n", plain, re.IGNORECASE
    )
    sentences += [
        Statement(SENTENCE, m.start(), cut_sentence(_take_after(plain, m))) for m in lines
    ]
    behind = re.finditer(
        r"(?<!\S)((?:[^\s.:;]{1,30} ){0,2}[^\s:;]{1,30}) is (?:the|my|our) "
        r"(?:final |correct |right )*answer",
        plain,
        re.IGNORECASE,
    )
    return sentences + [Statement(SENTENCE, m.start(), m[1]) for m in behind]
