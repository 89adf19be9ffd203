r"""Text as a reader sees it: one form for Unicode's variants, Markdown, HTML, and LaTeX of numbers.

Only what surrounds or spells a number is rewritten; other LaTeX keeps its backslash, so that
nothing later takes a formula for a number.
"""

import re
import unicodedata

MAX_NESTING = 6
"""Commands inside commands; nothing that is written to be read goes deeper."""

_SUPERSCRIPTS = {
    ord(sign): f"^{digit}"
    for digit, sign in enumerate("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
}
# Hyphens, the figure and en dash, and the minus sign; the em dash parts clauses, and stays.
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"), "-")
_GROUPED = re.compile(
    r"\\(?:text(?:bf|it|rm|tt|sf)?|mbox|math(?:rm|bf|it|sf|tt|normal)|operatorname|boldsymbol|bm"
    r"|underline|emph|textnormal|boxed|fbox|framebox|num|displaystyle)\s*\{([^{}]*)\}"
)
_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
_REWRITES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"<<[^<>\n]*>>", ""),  # GSM8K's calculator marks
        (r"~~[^~\n]+~~", " "),  # struck out
        (r"</?[A-Za-z][^<>\n]{0,60}>", " "),  # HTML
        (r"\{,\}|,\\[!,;:]", ","),  # a comma without its space: a thousands separator
        (r"\\!", ""),
        (r"\\(?:[,;: ]|thinspace|enspace|quad|qquad|ldots|dots)|~", " "),
        (r"\^\s*\{?\\circ\}?|\^\s*\{?\\degree\}?|\u00b0", " degrees "),
        (r"\\(?:times|cdot|ast)(?![A-Za-z])|[\u00d7\u22c5\u2715\u2217\u00b7]", " * "),
        (r"\\div(?![A-Za-z])", " \u00f7 "),
        (r"\\(?:approx|simeq|cong)(?![A-Za-z])|[\u2248\u2243]", " = "),
        (r"\\(?:Rightarrow|implies|to|longrightarrow|rightarrow)(?![A-Za-z])|=>|[\u2192\u21d2]",
         " = "),
        (r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|color\{\w+\}|textcolor\{\w+\})(?![A-Za-z])",
         ""),
        (r"\\[\[\]()]", " "),
        (r"\\%", "%"),
        (r"([-+])\s*(?:\\?\$|[\u20ac\u00a3\u00a5\u20b9])\s*(?=[\d.])", r"\1"),
        (r"\\?\$|[\u20ac\u00a3\u00a5\u20b9]", " "),
        (r"\*\*|__|`", ""),
        (r"(?<![\w*)\]\s])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])", r"\1"),
        (r"(?<=\s)\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])", r"\1"),
        (r"^\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])", r"\1"),
        (r"[{}]", ""),
        (r"\b(approx|Rs|No|vs|ca)\.\s", r"\1 "),
        (r"[^\S\n]+", " "),
    )
]  # fmt: skip


def fold_characters(text: str) -> str:
    """One form for widths, dashes, spaces, digits of any script, superscripts and vulgar fractions.

    `2½` is `2 1/2` and `5²` is `5^2`, which compatibility folding alone (NFKC) makes 21/2 and 52.
    """
    if text.isascii():
        return text
    spread = "".join(
        f" {unicodedata.normalize('NFKC', sign)}" if "VULGAR FRACTION" in unicodedata.name(sign, "")
        else sign
        for sign in text.translate(_SUPERSCRIPTS)
    )  # fmt: skip
    folded = unicodedata.normalize("NFKC", spread.translate(_DASHES)).replace("\u2044", "/")
    return "".join(
        str(unicodedata.decimal(sign)) if unicodedata.category(sign) == "Nd" else sign
        for sign in folded
        if unicodedata.category(sign) != "Cf"  # zero-width characters
    )


def simplify_markup(text: str) -> str:
    """`text` without emphasis, currency signs and math delimiters, its fractions as `a/b`.

    A fraction of anything but plain numbers keeps brackets, `(a)/(b)`, and is no number.
    """
    plain = fold_characters(text)
    for pattern, replacement in _REWRITES[:6]:
        plain = pattern.sub(replacement, plain)
    plain = _unwrap_groups(plain)
    for pattern, replacement in _REWRITES[6:]:
        plain = pattern.sub(replacement, plain)
    return plain.strip()


def _unwrap_groups(text: str) -> str:
    """Fractions and text commands by their contents, from the inside outwards."""
    for _ in range(MAX_NESTING):
        text = _FRACTION.sub(_write_fraction, _GROUPED.sub(r" \1 ", text))
    return text


def _write_fraction(match: re.Match[str]) -> str:
    above, below = (match[1] or match[2] or "").strip(), (match[3] or match[4] or "").strip()
    if not re.fullmatch(r"-?[\d.,]+", above) or not re.fullmatch(r"-?[\d.,]+", below):
        above, below = f"({above})", f"({below})"
    # `3\frac12` is three and a half, and no 31/2.
    space = " " if match.string[: match.start()].rstrip()[-1:].isdigit() else ""
    return f"{space}{above}/{below}"
