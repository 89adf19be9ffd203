r"""The one number that a worked answer ends with, in Chinese or English; none where it is not sure.

What a regex takes for the last number is often a part of it: `3/4`, `1,234`, `3:5` and
`\frac{1}{3}` are one number each, `2小时30分钟` is two. So a conclusion must hold exactly one
number, of which every character is read, or the row has no answer.
"""

import re
import unicodedata
from decimal import Decimal
from fractions import Fraction

SCALES = {"百": 10**2, "千": 10**3, "万": 10**4, "亿": 10**8}
"""百, 千, 万, 亿 behind a number; before these units 千 and 百 are part of the unit."""
_DIGITS = r"(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\d.])\.\d+)"
_EXPRESSION = re.compile(
    rf"""(?P<sign>(?<![A-Za-z0-9)\]%.])-\s?|负)?
    (?:(?P<parts>\d+)分之(?P<part>\d+)
    |(?:(?P<whole>\d+)\s?(?:\s|又)\s?(?=\d+(?:\s?/\s?\d|分之)))?
     (?:(?P<in_parts>\d+)分之(?P<in_part>\d+)
     |(?P<number>{_DIGITS})
      (?:\s?/\s?(?P<below>{_DIGITS})|(?P<ratio>(?:\s?[:\u2236比]\s?{_DIGITS})+))?
      (?P<percent>\s?%)?
      (?P<scale>[万亿]|[百千](?![克米瓦卡焦帕赫伏分]))?))
    """,
    re.VERBOSE,
)
_UNITS = r"(?:[cdmk]?m|k?g|mg|[mk]?[lL]|km|[hs]|min|rpm|[kM]?W|k?J|cm|dm|mm)"
_CONTINUES = re.compile(
    rf"\s?[-+*/\u00d7\u00f7^~!\u221a\u03c0\u00b1:,.]\s?[\d(\u221a\u03c0]"
    rf"|\s?[\u03c0\u221a\u00b1^!]|\.\.|(?!{_UNITS}(?![A-Za-z]))[A-Za-z]|\d"
)
_PRECEDES = re.compile(
    r"(?:[\w.][,.:/]|[-+*/\u00d7\u00f7^~\u221a\u00b1<>\u2264\u2265\\]\s?|[A-Za-z_])$"
)
_RATIO_BEFORE = re.compile(r"(?:^|[是为比=:]|\bis|\bratio|\bof)\s*$", re.IGNORECASE)
"""What stands before `3:5`; behind other words, as in `Week 3: 210`, the colon is no ratio's."""
_BOX = re.compile(r"\\boxed\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_STATED = re.compile(
    r"####[ \t]*(?P<mark>[^\n#]+)"
    r"|(?:答案(?:应该|应|就)?(?:是|为|:)|(?:^|(?<=[\n\u3002]))\s*答[:,]"
    r"|\b(?:the )?(?:final )?answer(?: is|:)|\bans(?:wer)?:)\s*[:=]?\s*",
    re.IGNORECASE,
)
# The point of `1. 5` ends no sentence: what it numbers is no answer.
_SENTENCE_END = re.compile(r"[\u3002?\n]|(?<!\d)!|\.(?=\s*(?:\n|$)|\s+[^\d\s])|;(?=\s|$)")
_CONCLUDES = re.compile(
    r"所以|因此|故|即|答|一共|总共|共有|共需|剩|还有|总和"
    r"|\bso\b|\btherefore\b|\bthus\b|\bhence\b|\bin total\b|\bleft\b",
    re.IGNORECASE,
)
"""Words of the clause that says the result, behind others that say what it came from."""
_LATEX = (
    (r"\\(?:text|mathrm|textbf|mathbf|mbox)\s*\{([^{}]*)\}", r"\1"),
    (r"\\[dtc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r" \1/\2 "),
    (r"\\[dtc]?frac\s*(\d)\s*(\d)", r" \1/\2 "),
    (r"\\(?:times|cdot)(?![A-Za-z])", "\u00d7"),
    (r"\\div(?![A-Za-z])", "\u00f7"),
    (r"\\%", "%"),
    (r"\{,\}|,\\!", ","),
    (r"\\[()\[\],;:! ]|\\quad|\$|\*\*|~", " "),
    (r"[\uffe5\u00a5\u20ac\u00a3]", " "),
    # Powers of units and of nothing else: cm^2, 米2.
    (r"(?<=[a-zA-Z米])\s?\^\s?\{?[23]\}?", ""),
)


class NoDefiniteNumberError(ValueError):
    """A worked answer ends with no number, with several, or with one that is not worked out."""


def read_worked_number(text: str) -> str:
    """The number as digits, `a/b`, `a:b` or `a%`. Raises NoDefiniteNumberError without one."""
    plain = fold_formulas(text)
    statements = list_conclusions(plain)
    values = [read_statement(statement) for statement in statements]
    if len(set(values)) != 1:
        raise NoDefiniteNumberError(f"{len(set(values))} numbers in {len(values)} conclusions")
    return values[0]


def fold_formulas(text: str) -> str:
    """Widths, signs and the LaTeX of numbers in one form; boxes stay."""
    text = re.sub(r"(?<=[a-zA-Z米])[\u00b2\u00b3]", "", text)
    text = re.sub(r"[\u00b2\u00b3\u00b9\u2070-\u2079]", "^", text)
    # A vulgar fraction stands apart from the whole number before it: 1½ is 1 1/2.
    spread = re.sub("([\u00bc-\u00be\u2150-\u215e\u2189])", r" \1", text)
    text = unicodedata.normalize("NFKC", spread).replace("\u2044", "/")
    text = re.sub(r"[\u2010-\u2013\u2212]", "-", text)
    for pattern, replacement in _LATEX:
        text = re.sub(pattern, replacement, text)
    return text


def list_conclusions(plain: str) -> list[str]:
    """Where a worked answer gives its result: a box, a mark, "the answer is", else its end."""
    if boxes := _BOX.findall(plain):
        return boxes[-1:]
    stated = list(_STATED.finditer(plain))
    if marks := [match["mark"] for match in stated if match["mark"]]:
        return marks[-1:]
    if stated:
        return [_SENTENCE_END.split(plain[match.end() :], maxsplit=1)[0] for match in stated]
    sentences = [each for each in _SENTENCE_END.split(plain) if re.search(r"\d", each)]
    return sentences[-1:]


def read_statement(statement: str) -> str:
    """The one number of a conclusion; of an equation, what its last side is."""
    sides = re.split(r"[=\u2248]", statement)
    if len(sides) > 1:
        names = re.findall(r"([A-Za-z])\s?=", statement.replace("\u2248", "="))
        if len(names) > 1:
            raise NoDefiniteNumberError("several unknowns")
    last = sides[-1]
    numbers = list_expressions(last)
    if len(numbers) > 1:
        # Reasons may stand before the clause that concludes.
        clause = re.split(r"[,;](?!\d{3})", last)[-1]
        if not _CONCLUDES.search(clause):
            raise NoDefiniteNumberError("several numbers")
        last, numbers = clause, list_expressions(clause)
    if len(numbers) != 1:
        raise NoDefiniteNumberError("no number" if not numbers else "several numbers")
    (match,) = numbers
    if _PRECEDES.search(last[: match.start()]) or _CONTINUES.match(last[match.end() :]):
        raise NoDefiniteNumberError("a number that is not worked out")
    if match["ratio"] and not _RATIO_BEFORE.search(last[: match.start()]):
        raise NoDefiniteNumberError("a colon that is no ratio's")
    return write_number(match)


def list_expressions(text: str) -> list[re.Match[str]]:
    """Every number of a text; the last alone where it says one number again: `= 3, so it is 3`."""
    numbers = list(_EXPRESSION.finditer(text))
    return numbers[-1:] if len({match[0].strip() for match in numbers}) == 1 else numbers


def write_number(match: re.Match[str]) -> str:
    """The text of a number: no separators, no scale, mixed numbers as one fraction."""
    sign = "-" if match["sign"] else ""
    if match["ratio"]:
        if sign or match["percent"] or match["scale"]:
            raise NoDefiniteNumberError("a ratio with a sign")
        sides = [match["number"], *re.split(r"\s?[:\u2236比]\s?", match["ratio"])[1:]]
        return ":".join(side.replace(",", "") for side in sides)
    if match["parts"] or match["in_parts"]:
        above, below = match["part"] or match["in_part"], match["parts"] or match["in_parts"]
    else:
        above, below = match["number"].replace(",", ""), (match["below"] or "1").replace(",", "")
    if not Fraction(below):
        raise NoDefiniteNumberError("divided by nothing")
    scale = SCALES[match["scale"]] if match["scale"] else 1
    if match["whole"] or (below != "1" and (scale > 1 or "." in above + below)):
        value = (int(match["whole"] or 0) + Fraction(above) / Fraction(below)) * scale
        return f"{sign}{value}" + ("%" if match["percent"] else "")
    if below != "1":
        return f"{sign}{above}/{below}" + ("%" if match["percent"] else "")
    return sign + write_decimal(Decimal(above) * scale) + ("%" if match["percent"] else "")


def write_decimal(value: Decimal) -> str:
    """`value` without an exponent, and without the zeros of a scale behind its point."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
