"""The content as one offline HTML file: everything inline, everything escaped, a strict policy."""

import base64
import hashlib
import json
from dataclasses import replace
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from kvdistill.report.figures.style import RenderedFigure
from kvdistill.report.format import format_bound, format_measurement, format_signed
from kvdistill.report.page_data import PageContent
from kvdistill.report.table import make_file_name
from kvdistill.report.verdict_text import describe_claim_counts, format_judgement
from kvdistill.report.wide_table import split_columns
from kvdistill.sanitise import escape_hidden
from kvdistill.stats.arm_differences import describe_contrast
from kvdistill.stats.hypotheses import WITHDRAWN
from kvdistill.stats.seed_tests import STARS_LEGEND

ASSETS = files("kvdistill.report").joinpath("page")


def render_page(content: PageContent) -> str:
    """index.html, from the template, style and script of the page folder."""
    style, script = read_asset("style.css"), read_asset("script.js")
    # StrictUndefined: a field that was renamed here alone is an error, not an empty place.
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        svg=label_svg, narrow_svg=label_narrow_svg, parts=split_columns, slug=make_file_name,
        clean=escape_hidden, bound=format_bound,
        measured=format_measurement, judged=format_judgement, signed=format_signed,
        json=dump_inline_json,
        contrast=describe_contrast, share=lambda value: f"{100 * value:.1f}",
    )  # fmt: skip
    return environment.from_string(read_asset("index.html.j2")).render(
        c=content,
        # Unescaped, or the hashes of the policy would be those of another text.
        style=Markup(style),
        script=Markup(script),
        policy=make_security_policy(style, script),
        legend=STARS_LEGEND,
        claim_counts=describe_claim_counts(content.verdicts),
        withdrawn=WITHDRAWN,
        script_data=list_table_names(content),
    )


def read_asset(name: str) -> str:
    """A file of the page folder."""
    return ASSETS.joinpath(name).read_text(encoding="utf-8")


def make_security_policy(style: str, script: str) -> str:
    """A Content-Security-Policy: nothing is loaded, only this very script and style run."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{hash_inline_source(script)}'",
            f"style-src-elem '{hash_inline_source(style)}'",
            "style-src-attr 'unsafe-inline'",  # the figures' paths carry style attributes
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


def label_narrow_svg(figure: RenderedFigure) -> Markup:
    """The same for a narrow screen, which shows it in the other's place."""
    return label_svg(replace(figure, svg=figure.narrow.replace("<svg ", '<svg class="narrow" ', 1)))


def dump_inline_json(value: Any) -> Markup:
    """JSON for a script element, which no text in it can close."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, sort_keys=True)
    # A script element ends at the first </script>, also inside a string of its JSON.
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def list_table_names(content: PageContent) -> dict[str, Any]:
    """The study's name and the names of its tables that have rows, for whoever reads the page."""
    names = [table.name for table in content.iter_tables() if table.rows]
    return {"study": content.study.name, "tables": names}
