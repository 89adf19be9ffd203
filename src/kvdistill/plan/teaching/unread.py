"""source=none: teachers that are named for what they wrote, and that training does not read."""

from collections.abc import Mapping
from typing import Any

from kvdistill.config.check_texts import UNREAD


def reads_teachers(config: Mapping[str, Any]) -> bool:
    """Whether training reads its teachers, if there are any."""
    return bool(config["source"].get("_target_") != UNREAD)


def drop_unread_teachers(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config as its training sees it: without teachers where none is read, else as it is."""
    return dict(config) if reads_teachers(config) else {**config, "teachers": {}}
