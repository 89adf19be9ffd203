"""What a user can cause. Everything else that raises is our own mistake."""


class UserError(Exception):
    """A setting or an input that cannot work.

    The message is one line: the setting's path, the value, what must hold, and the way out.
    """


class ConfigError(UserError):
    """A setting is refused before any compute; the process exits with 2."""


class ArtifactError(UserError):
    """A file on disk is missing, altered or of another recipe; the message names it."""
