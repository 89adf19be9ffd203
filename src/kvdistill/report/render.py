"""The content as one offline HTML file: everything inline, everything escaped, a strict policy."""

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from kvdistill.report import format
from kvdistill.report.figures.style import RenderedFigure
from kvdistill.report.page_data import PageContent
from kvdistill.report.table import ReportTable, make_file_name
from kvdistill.sanitise import escape_hidden
from kvdistill.stats.hypotheses import WITHDRAWN
from kvdistill.stats.seed_tests import LEGEND

ASSETS = files("kvdistill.report").joinpath("page")


def render_page(content: PageContent) -> str:
    """index.html."""
    style, script = read_asset("style.css"), read_asset("script.js")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        svg=label_svg, slug=make_file_name, clean=escape_hidden, bound=format.format_bound, measured=format.format_measured,
        signed=format.format_signed, json=dump_inline_json, share=lambda v: f"{100 * v:.1f}",
    )  # fmt: skip
    return environment.from_string(read_asset("index.html.j2")).render(
        c=content,
        style=Markup(style),
        script=Markup(script),
        policy=make_security_policy(style, script),
        legend=LEGEND,
        withdrawn=WITHDRAWN,
        grid_json=list_tables_with_rows,
    )


def read_asset(name: str) -> str:
    """A file of the page folder."""
    return ASSETS.joinpath(name).read_text(encoding="utf-8")


def make_security_policy(style: str, script: str) -> str:
    """Nothing is loaded, and only this very script and style run; SVG keeps style attributes."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{hash_inline_source(script)}'",
            f"style-src-elem '{hash_inline_source(style)}'",
            "style-src-attr 'unsafe-inline'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def hash_inline_source(text: str) -> str:
    """A CSP hash source of an inline element's text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def label_svg(figure: RenderedFigure) -> Markup:
    """The figure, named for screen readers. Its texts were escaped by the SVG writer."""
    label = Markup('<svg role="img" aria-label="{}" ').format(
        escape_hidden(f"{figure.title}. {figure.description}")
    )
    return Markup(figure.svg.replace("<svg ", str(label), 1))


def dump_inline_json(value: Any) -> Markup:
    """JSON that cannot leave its script element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, sort_keys=True)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def list_tables_with_rows(content: PageContent) -> dict[str, Any]:
    """What the page's script may copy: every table as rows of text."""
    return {
        "study": content.study.name,
        "tables": [g.name for g in content.iter_tables() if len(g.rows)],
    }


__all__ = ["ReportTable", "render_page"]
