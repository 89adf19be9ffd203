"""A pickle that shows whether it was read by something that runs code."""

import os
from pathlib import Path


class PickleBomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)
