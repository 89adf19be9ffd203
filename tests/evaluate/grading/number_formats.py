r"""Ways to write a gold number, and texts around it: what models of every kind do with an answer.

`SPELLINGS` write the number, `FRAMES` say that it is the answer; each goes into each.
`{other}` in a frame is a number beside the answer that must not be taken for it.
"""


def group(separator):
    return lambda n: f"{n:,}".replace(",", separator)


SPELLINGS = {
    "bare": str,
    "decimal": lambda n: f"{n}.00",
    "comma": group(","),
    "braced comma": group("{,}"),
    "negative thin space": group(",\\!"),
    "LaTeX thin space": group("\\,"),
    "thin space": group("\u2009"),
    "narrow space": group("\u202f"),
    "apostrophe": group("'"),
    "full width": lambda n: str(n).translate({48 + d: 0xFF10 + d for d in range(10)}),
    "bold": lambda n: f"**{n}**",
    "italic": lambda n: f"*{n}*",
    "code": lambda n: f"`{n}`",
    "dollar": lambda n: f"${n:,}" if n >= 0 else f"-${-n:,}",
    "escaped dollar": lambda n: f"\\${n:,}" if n >= 0 else f"-\\${-n:,}",
    "euro": lambda n: f"{n:,} \u20ac",
    "unit": lambda n: f"{n} eggs",
    "unit in text": lambda n: f"{n}\\text{{ eggs}}",
    "per cent": lambda n: f"{n}%",
    "maths": lambda n: f"${n}$",
    "bracketed maths": lambda n: f"\\({n}\\)",
    "bold maths": lambda n: f"\\mathbf{{{n}}}",
    "fraction": lambda n: f"\\frac{{{2 * n}}}{{2}}",
    "slash": lambda n: f"{2 * n}/2",
    "named": lambda n: f"x = {n}",
    "sum": lambda n: f"{n - 7} + 7 = {n}",
    "yuan": lambda n: f"{n}\u5143",
    "unicode minus": lambda n: str(n).replace("-", "\u2212"),
}
FRAMES = [
    "#### {}",
    "She sells {other} a day.\n#### {}",
    "#### Steps\n{other} + 0 = {other}\n#### {}",
    "#### {} (that is {other} less than before)",
    "#### Answer: {}",
    "The answer is {}.",
    "The answer is {} for {other} days.",
    "The answer is {} because {other} - 3 = 9, not {other}",
    "The final answer is: {}",
    "**Answer:** {}",
    "Answer:\n\n{}",
    "So {other} it was. Therefore, the answer is {}. I hope I am {other} % sure.",
    "The answer is not {other} but {}.",
    "The answer is {other}. Wait, that is wrong. The answer is {}.",
    "The answer is {}.\n\nQuestion: How many are {other} and 1?\nThe answer is {other}.",
    "\u7b54\u6848\u662f{}\u3002",
    "<answer>{}</answer>",
    "<think>Is it {other}?</think>The answer is {}.",
    "{}",
]
BOXED = [
    "\\boxed{{{}}}",
    "$\\boxed{{{}}}$",
    "First \\boxed{{{other}}}, and so \\boxed{{{}}}.",
    "The answer is $\\boxed{{{}}}$ for {other} days.",
    "\\[\\boxed{{{}}}\\]",
]
MARKDOWN = {"bold", "italic", "code", "maths", "bracketed maths"}


def write_responses(number, other):
    """(spelling, frame, response) of every way to give `number`, with `other` beside it."""
    for name, spell in SPELLINGS.items():
        for frame in FRAMES + BOXED * (name not in MARKDOWN):
            yield name, frame, frame.format(spell(number), other=other)
