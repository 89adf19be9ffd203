"""The content as one offline HTML file: everything inline, everything escaped, a strict policy."""

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from kvdistill.report import format
from kvdistill.report.figures.style import Drawn
from kvdistill.report.page_data import Content
from kvdistill.report.table import Grid, file_name
from kvdistill.sanitise import escape_hidden
from kvdistill.stats.hypotheses import WITHDRAWN
from kvdistill.stats.seed_tests import LEGEND

ASSETS = files("kvdistill.report").joinpath("page")


def page(content: Content) -> str:
    """index.html."""
    style, script = asset("style.css"), asset("script.js")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        svg=svg, slug=file_name, clean=escape_hidden, bound=format.bound, measured=format.measured,
        signed=format.signed, json=inline_json, share=lambda v: f"{100 * v:.1f}",
    )  # fmt: skip
    return environment.from_string(asset("index.html.j2")).render(
        c=content,
        style=Markup(style),
        script=Markup(script),
        policy=policy(style, script),
        legend=LEGEND,
        withdrawn=WITHDRAWN,
        grid_json=grid_json,
    )


def asset(name: str) -> str:
    """A file of the page folder."""
    return ASSETS.joinpath(name).read_text(encoding="utf-8")


def policy(style: str, script: str) -> str:
    """Nothing is loaded, and only this very script and style run; SVG keeps style attributes."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{digest(script)}'",
            f"style-src-elem '{digest(style)}'",
            "style-src-attr 'unsafe-inline'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def digest(text: str) -> str:
    """A CSP hash source of an inline element's text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def svg(drawn: Drawn) -> Markup:
    """The figure, named for screen readers. Its texts were escaped by the SVG writer."""
    label = Markup('<svg role="img" aria-label="{}" ').format(
        escape_hidden(f"{drawn.title}. {drawn.description}")
    )
    return Markup(drawn.svg.replace("<svg ", str(label), 1))


def inline_json(value: Any) -> Markup:
    """JSON that cannot leave its script element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, sort_keys=True)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def grid_json(content: Content) -> dict[str, Any]:
    """What the page's script may copy: every table as rows of text."""
    return {"study": content.study.name, "tables": [g.name for g in content.grids() if len(g.rows)]}


__all__ = ["Grid", "page"]
