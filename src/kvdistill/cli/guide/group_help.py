"""What `python launch.py --help GROUP` prints: each choice of a group, with its fields."""

import re
from collections.abc import Iterator
from pathlib import Path

from kvdistill.errors import ConfigError

FIELD = re.compile(r"^( *)([A-Za-z]\w*): ?(.*?)(?:  +# (.*))?$")
PLUMBING = ("defaults", "_target_", "_partial_", "_recursive_", "_convert_")
"""Keys of Hydra's, which nobody sets."""


def describe_group(conf: Path, group: str, default: str, description: str) -> str:
    """The page of a group; `default` is its choice in config.yaml.

    Raises ConfigError for what is no group.
    """
    folder = conf / group
    if not folder.is_dir():
        groups = sorted(path.name for path in conf.iterdir() if path.is_dir())
        raise ConfigError(f"--help {group} is no group. Choose one of {', '.join(groups)}.")
    lines = [f"{group}: {description}" if description else group, ""]
    lines += [f"Choose by {group}=NAME, set a field by {group.replace('/', '.')}.FIELD=VALUE."]
    for path in sorted(folder.glob("*.yaml")):
        lines += ["", *describe_file(path, path.stem == default)]
    inner = sorted(path.name for path in folder.iterdir() if path.is_dir())
    lines += [""] * bool(inner) + [f"See also: --help {group}/{name}" for name in inner]
    return "\n".join(lines) + "\n"


def describe_file(path: Path, is_default: bool) -> Iterator[str]:
    """A choice: its name, what it is, and a line a field: its value, and the comment beside it."""
    text = path.read_text("utf-8").splitlines()
    sentences = [line.removeprefix("# ") for line in text if line.startswith("# ")]
    about = [sentence for sentence in sentences if not sentence.startswith("@package")]
    yield f"{'*' if is_default else ' '} {path.stem}: {' '.join(about)}".rstrip(": ")
    for indent, name, value, comment in list_fields(text):
        shown = value if len(value) <= 44 else f"{value[:41]}..."
        line = f"      {indent}{name}: {shown}".rstrip()
        yield f"{line:52} {comment}".rstrip() if comment else line


def list_fields(lines: list[str]) -> Iterator[tuple[str, str, str, str]]:
    """(indent, key, value, comment) of each key that may be set."""
    skipped_below: int | None = None
    for line in lines:
        match = FIELD.match(line)
        depth = len(line) - len(line.lstrip())
        if (
            skipped_below is not None
            and line.strip()
            and (depth > skipped_below or line.lstrip().startswith("-"))
        ):
            continue
        skipped_below = None
        if match is None:
            # A key that Hydra reads, in a list or by itself.
            if line.lstrip().startswith(PLUMBING):
                skipped_below = depth
            continue
        indent, name, value, comment = match.groups()
        if name in PLUMBING:
            skipped_below = depth
            continue
        yield indent, name, value, comment or ""
