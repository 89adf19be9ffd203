"""Whether the rows that a config maps have what its style asks for, read from the config alone."""

from collections.abc import Iterator, Mapping
from typing import Any

FIELD = "{rationale}"
GROUP = "(?P<rationale>"


def describe_missing_rationale(config: Mapping[str, Any]) -> str | None:
    """One line where the style asks for a rationale and a mapping of columns gives none.

    None where it does not, and for a source that maps no columns.
    """
    names = [
        name
        for name, template in config["style"]["templates"].items()
        if any(FIELD in str(text) for text in template.values())
    ]
    unmapped = list(_list_unmapped(config["data"]["source"]))
    if not names or not unmapped:
        return None
    return (
        f"style.templates.{names[0]} asks for a rationale, and {unmapped[0]}=null maps none, so no "
        f"row can be rendered. Use style=direct, or map a column of worked answers."
    )


def _list_unmapped(source: Mapping[str, Any]) -> Iterator[str]:
    """The settings that would map a rationale and do not."""
    parts = source.get("parts")
    mappings = (
        {f"data.source.parts.{name}": (part, "columns") for name, part in parts.items()}
        if isinstance(parts, Mapping)
        else {"data.source": (source, "fields")}
    )
    for path, (node, key) in mappings.items():
        columns = node.get(key) if isinstance(node, Mapping) else None
        if not isinstance(columns, Mapping) or GROUP in str(node.get("pattern") or ""):
            continue
        if not columns.get("rationale"):
            yield f"{path}.{key}.rationale"
