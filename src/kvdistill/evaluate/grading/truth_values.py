"""The truth value that a response gives: one of the two words of a pair, like yes and no."""

import re
from dataclasses import dataclass

from kvdistill.evaluate.grading.plain_text import simplify_markup
from kvdistill.evaluate.grading.statements import list_statements, split_parts

_REASON = re.compile(r"\b(?:because|since|as|so that)\b.*$|,\s.*$|\s\(.*$", re.DOTALL)


@dataclass(frozen=True)
class TruthPair:
    """Two words that exclude each other, and those that say the same."""

    positive: str
    negative: str
    synonyms: tuple[tuple[str, str], ...] = ()
    """(word, the one of the pair that it says)."""

    def list_values(self, plain: str) -> list[str]:
        """The values that plain text names, in order; "not valid" is invalid."""
        names = {self.positive: self.positive, self.negative: self.negative, **dict(self.synonyms)}
        other = {self.positive: self.negative, self.negative: self.positive}
        words = "|".join(sorted(names, key=len, reverse=True))
        # "no" before a noun denies something else: "there is no way".
        noun = r"(?!(?<=\bno)\s+(?!because|since|as\b)[a-z])"
        pattern = rf"((?:\bnot|n't)\s+(?:\w+ly\s+)?)?\b({words})\b{noun}"
        return [
            other[names[word]] if negation else names[word]
            for negation, word in re.findall(pattern, plain.casefold())
        ]

    def decide(self, sentence: str) -> str | None:
        """The one value of a sentence, reasons aside; of an expression, of its last side."""
        plain = simplify_markup(sentence)
        head = _REASON.sub("", plain).rpartition("=")[2]
        values = set(self.list_values(head)) or set(self.list_values(plain))
        return values.pop() if len(values) == 1 else None


PAIRS = (
    TruthPair("true", "false"),
    TruthPair("valid", "invalid"),
    TruthPair("yes", "no", (("plausible", "yes"), ("implausible", "no"))),
)


def find_pair(gold: str) -> TruthPair | None:
    """The pair of which a gold answer is one word; None for other answers."""
    word = gold.strip().casefold()
    return next((pair for pair in PAIRS if word in (pair.positive, pair.negative)), None)


def extract_truth_value(text: str, pair: TruthPair) -> str | None:
    """The value of the clearest statement that has one; of prose, of its last sentence."""
    answer = None
    for index, part in enumerate(split_parts(text)):
        answer = _read_part(part, pair, replaces=index > 0) or answer
    return answer


def _read_part(part: str, pair: TruthPair, *, replaces: bool) -> str | None:
    statements = list_statements(part, replaces=replaces)
    values = [(each.kind, value) for each in statements if (value := pair.decide(each.text))]
    if values:
        return [value for kind, value in values if kind == values[0][0]][-1]
    plain = simplify_markup(part)
    # "No, Jamey lies.": the first word answers, and what follows says why.
    first = re.match(r"\W*(\w+)\b(?!\s*(?:and|or|is|are|one)\b)", plain)
    if first and (opening := pair.list_values(first[1])):
        return opening[0]
    for sentence in reversed(re.split(r"(?<=[^\s.])[.!?](?:\s|$)|\n", plain)):
        if pair.list_values(sentence):
            side = re.split(r"=|\bis\b|\bso\b", sentence)[-1]
            return pair.decide(side if pair.list_values(side) else sentence)
    return None
