r"""What publishers write into texts that no reader is meant to see, by rule; and Unicode's forms.

A source names its rules (`clean`), so that a text is trained on, shown as an example and scored as
the same text. What is left as it stands, since benchmarks ask it like that: LaTeX with its `$` and
`\boxed`, and Asymptote drawings in questions.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kvdistill.errors import ConfigError

TEXT_FIELDS = ("question", "rationale", "answer")
MAX_ESCAPES = 3
"""How often a text was escaped at most, as in `&amp;lt;`."""


@dataclass(frozen=True)
class MarkupRule:
    """One kind of markup, and what becomes of it."""

    about: str
    signs: tuple[str, ...]
    """One of these stands in every text that the rule can change."""
    apply: Callable[[str], str]
    fields: tuple[str, ...] = TEXT_FIELDS


def strip_calculator_marks(text: str) -> str:
    """GSM8K's `<<48/2=24>>`; a text of nothing but marks keeps what stands in them.

    GSM8K-Aug's worked answers are such texts.
    """
    plain = re.sub(r"<<([^<>\n]*=[^<>\n]*)>>", "", text)
    return plain if plain.strip() else re.sub(r"<<([^<>\n]*=[^<>\n]*)>>", r"\1", text)


def decode_html(text: str) -> str:
    """Entities as their characters, breaks and blocks as lines, powers and indices as TeX has them.

    Other tags go; angle brackets that are no tag of HTML stay.
    """
    for _ in range(MAX_ESCAPES):
        text = re.sub(
            r"&(?:#\d{1,7}|#x[0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});",
            lambda match: html.unescape(match[0]).replace("\u00a0", " "),
            text,
        )
    text = re.sub(r"<br\s*/?>|</(?:p|div|li|tr)\s*>", "\n", text, flags=re.IGNORECASE)
    text = re.sub(r"<sup>([^<>]*)</sup>", r"^{\1}", text, flags=re.IGNORECASE)
    text = re.sub(r"<sub>([^<>]*)</sub>", r"_{\1}", text, flags=re.IGNORECASE)
    tags = "p|div|li|ul|ol|tr|td|th|table|tbody|span|b|i|u|em|strong|font|center|img"
    return re.sub(rf"</?(?:{tags})(?:\s[^<>]*)?/?>", "", text, flags=re.IGNORECASE)


_ASKER = "Human|User|Question|Instruction|问题|题目|问|用户"
_ANSWERER = "Assistant|Response|Answer|Solution|Explanation|解答|解析|解|回答|助手"


def strip_role_labels(text: str) -> str:
    """Without who speaks: `Human:` before a text, `Assistant:` behind a question."""
    text = re.sub(rf"^\s*(?:{_ASKER}|{_ANSWERER})\s?[:\uff1a]\s*", "", text)
    return re.sub(rf"\n\s*(?:{_ANSWERER}|Human|User)\s?[:\uff1a]\s*$", "", text)


def strip_reference_marks(text: str) -> str:
    """Without `[reference_1]`, `[citation needed]` and the source marks of assistants."""
    marks = r"\[(?:references?|refs?|citations?|sources?)[ _]?(?:\d+|needed)\]"
    return re.sub(rf" ?(?:{marks}|\u3010\d+\u2020[^\u3010\u3011\n]*\u3011)", "", text, flags=re.I)


def join_socratic_steps(text: str) -> str:
    """GSM8K's socratic form, `How many in May? ** She sold 24.`, as question and sentence."""
    return re.sub(r"\?[ \t]*\*\*[ \t]+", "? ", text)


def strip_final_mark(text: str) -> str:
    """Without a last line `#### 72`: the prompt's style writes the mark and the answer itself."""
    return re.sub(r"\s*(?<!#)####(?!#)[^\n#]*\s*$", "", text) or text


def strip_equation_prefix(text: str) -> str:
    """`x=(11-1)*2`, which is all that is worked out, as `(11-1)*2`."""
    return re.sub(r"^\s*[xX]\s*=\s*(?=[\d(\[][\d\s+\-*/^().%\[\]]*$)", "", text)


def strip_drawings(text: str) -> str:
    """Worked answers without Asymptote's program code for their figures."""
    return re.sub(r"\s*\[asy\].*?\[/asy\]\s*", "\n", text, flags=re.DOTALL)


def join_number_groups(text: str) -> str:
    """`12 500` as `12500`."""
    return re.sub(
        r"(?<![\d.,])[1-9]\d{0,2}(?:[ \u00a0\u2009\u202f]\d{3})+(?![\d])",
        lambda match: re.sub(r"\s", "", match[0]),
        text,
    )


def rewrite_option_letters(text: str) -> str:
    """Options `A)21` and `(A) 21` as `A. 21`, which is how every task here shows them."""
    return re.sub(
        r"^[ \t]*(?:\(([A-J])\)|([A-J])[)\uff09])[ \t]*(?=\S)", r"\1\2. ", text, flags=re.M
    )


MARKUP_RULES = {
    "calculator_marks": MarkupRule("GSM8K's <<48/2=24>>", ("<<",), strip_calculator_marks),
    "html": MarkupRule("entities and tags of HTML", ("&", "<"), decode_html),
    "role_labels": MarkupRule("who speaks, as Human:", (":", "\uff1a"), strip_role_labels),
    "reference_marks": MarkupRule(
        "[reference_1] and its like", ("[", "\u3010"), strip_reference_marks
    ),
    "socratic_steps": MarkupRule(
        "GSM8K's ** behind a step's question", ("**",), join_socratic_steps
    ),
    "final_mark": MarkupRule("a last #### 72", ("####",), strip_final_mark, ("rationale",)),
    "equation_prefix": MarkupRule(
        "x= of an equation", ("=",), strip_equation_prefix, ("rationale",)
    ),
    "drawings": MarkupRule("code of figures", ("[asy]",), strip_drawings, ("rationale",)),
    "number_groups": MarkupRule("spaces within 12 500", (" ", "\u2009"), join_number_groups),
    "option_letters": MarkupRule(
        "A)21 for A. 21", (")", "\uff09"), rewrite_option_letters, ("question",)
    ),
}
UNMISTAKABLE_RULES = ("calculator_marks", "reference_marks", "final_mark")
"""Nothing that is meant to be read looks like what these take away."""
CHARACTERS = "characters"
"""What `fold_unicode` changed, among the rules' counts."""


def check_rule_names(names: Sequence[str], setting: str) -> None:
    """Raises ConfigError for a name that is no rule."""
    for name in names:
        if name not in MARKUP_RULES:
            raise ConfigError(
                f"{setting}: {name!r} is no rule; rules are {', '.join(MARKUP_RULES)}."
            )


def fold_unicode(text: str) -> str:
    """NFC, with line ends as of Unix; without byte order marks and control characters.

    An answer in another form than NFC is never what a model writes.
    """
    text = re.sub(r"\r\n?", "\n", text).replace("\ufeff", "")
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "", text)
    return unicodedata.normalize("NFC", text)


def clean_fields(
    values: Mapping[str, str], names: Sequence[str]
) -> tuple[dict[str, str], set[str], set[str]]:
    """(the fields of a row cleaned by these rules, rules that changed it, others that would)."""
    cleaned = {field: fold_unicode(text) for field, text in values.items()}
    changed = {CHARACTERS} if cleaned != dict(values) else set()
    for name in names:
        before = cleaned
        cleaned = before | dict(apply_rule(MARKUP_RULES[name], before))
        changed |= {name} if cleaned != before else set()
    others = {
        name
        for name, rule in MARKUP_RULES.items()
        if name not in names and any(cleaned[f] != text for f, text in apply_rule(rule, cleaned))
    }
    return cleaned, changed, others


def apply_rule(rule: MarkupRule, values: Mapping[str, str]) -> list[tuple[str, str]]:
    """(field, its text by the rule) of each field that may hold what the rule is about."""
    return [
        (field, rule.apply(values[field]))
        for field in rule.fields
        if field in values and any(sign in values[field] for sign in rule.signs)
    ]


def has_several_turns(text: str) -> bool:
    """Whether a line of a text is another speaker's: a conversation written out, or run on."""
    return bool(re.search(r"^[ \t]*(?:Human|User|Assistant)\s?[:\uff1a]", text, flags=re.M))
