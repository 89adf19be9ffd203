"""What a user can cause. Everything else that raises is our own mistake."""


class UserError(Exception):
    """A setting or an input that cannot work.

    The message is one line: the setting's path, the value, what must hold, and the way out.
    """


class ConfigError(UserError):
    """A setting is refused before any compute; the process exits with 2."""


class RowError(ConfigError):
    """A row that is no record; `reason` is the kind, under which such rows are counted."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ArtifactError(UserError):
    """A file on disk is missing, altered or of another recipe; the message names it."""


class DivergedError(UserError):
    """A training whose loss, gradient or weights are no numbers any more: a rate too high, often.

    Of a trial of a tuning this is a result, and the worst.
    """


LONGEST_CAUSE = 200
"""Characters of one cause in a message."""


def list_causes(error: BaseException) -> str:
    """An exception and what it came from, in one line: `Type: message, from Type: message`."""
    lines: list[str] = []
    step: BaseException | None = error
    while step is not None:
        text = " ".join(str(step).split()).rstrip(".")
        text = text if len(text) <= LONGEST_CAUSE else f"{text[:LONGEST_CAUSE]} ..."
        lines.append(f"{type(step).__name__}: {text}" if text else type(step).__name__)
        step = step.__cause__ or (None if step.__suppress_context__ else step.__context__)
    return ", from ".join(dict.fromkeys(lines))
