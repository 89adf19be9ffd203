"""The terminal: text of any origin is printed as text.

Labels, errors and questions may hold anything. No markup is read in them (a list in brackets is no
style), and what could act in a terminal (control characters, text direction) is spelled out.
"""

import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.text import Text

from kvdistill.redact import redact_secrets
from kvdistill.sanitise import escape_hidden


class SafeConsole(Console):
    """rich's console without markup, with characters that act in a terminal escaped."""

    def __init__(
        self, *, stderr: bool = False, width: int | None = None, force_terminal: bool | None = None
    ) -> None:
        """`force_terminal` says whether it prints to a terminal; None: as stdout is one."""
        super().__init__(
            stderr=stderr, width=width, force_terminal=force_terminal,
            markup=False, emoji=False, highlight=False,
        )  # fmt: skip

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Escapes the text of every segment; rich's own control codes stay."""
        # The one place that tables, rules, titles and plain text all pass on their way out.
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(escape_hidden(segment.text), segment.style)


def label_message(word: str, style: str, text: str) -> Text:
    """`word: text` with the word in a rich style and secrets masked."""
    return Text.assemble((f"{word}:", style), " ", redact_secrets(text))


def write_stderr(text: str) -> None:
    """Writes a line on stderr, escaped and with secrets masked, where no console is at hand."""
    sys.stderr.write(f"{escape_hidden(redact_secrets(text))}\n")


def make_progress() -> Progress:
    """Progress bars on stderr, so that stdout can be piped."""
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(),
    )  # fmt: skip
    return Progress(*columns, console=SafeConsole(stderr=True))


def format_count(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
