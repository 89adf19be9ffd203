"""How every figure looks, and how it becomes inline SVG and a PNG and PDF file.

Colours are petroff6 (Petroff 2021), the set that stays furthest apart under simulated colour
blindness; each arm also has a marker, a dash and a hatch. In the SVG, ink and grid become CSS
variables, so that the page's dark mode needs no second figure, and text stays text, so that the
browser's fonts draw Chinese. All files are the same bytes each time.
"""

import io
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kvdistill.report.table import ReportTable

COLOURS = ("#5790fc", "#f89c20", "#e42536", "#964a8b", "#7a21dd")
UNTRAINED = "#9c9ca1"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
HATCHES = ("", "//", "\\\\", "xx", "--", "||", "++")
INK = "#1b1c1d"
GRID = "#d9dbde"
FAINT = "#6b6f76"
SEQUENTIAL = "cividis"
CJK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "SimHei",
)
METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".pdf": dict.fromkeys(("CreationDate", "Creator", "Producer")),
}
"""What matplotlib would write of time and version: other bytes for the same figure."""
VARIABLES = {INK: "var(--ink)", GRID: "var(--grid)", FAINT: "var(--faint)"}


@dataclass(frozen=True)
class ArmStyle:
    """What an arm looks like in every figure."""

    colour: str
    marker: str
    dash: str | tuple[int, tuple[float | int, ...]]
    """A line style of matplotlib: its short form, or (offset, on and off lengths)."""
    hatch: str


def make_arm_styles(labels: Iterable[str], untrained: Collection[str] = ()) -> dict[str, ArmStyle]:
    """Label -> style, in the order of the labels; what is not trained is grey."""
    styles: dict[str, ArmStyle] = {}
    trained = 0
    for i, label in enumerate(labels):
        is_grey = label in untrained
        # Lists of different lengths: two arms of one colour differ in marker, dash or hatch.
        styles[label] = ArmStyle(
            UNTRAINED if is_grey else COLOURS[trained % len(COLOURS)],
            MARKERS[i % len(MARKERS)],
            DASHES[i % len(DASHES)],
            HATCHES[i % len(HATCHES)],
        )
        trained += not is_grey
    return styles


RC_PARAMS: dict[str, Any] = {
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "none",  # text, not outlines
    "pdf.fonttype": 42,  # TrueType: venues refuse the Type 3 fonts of the default
    "text.parse_math": False,  # labels come from sweeps: a $ in one is no formula
    "path.simplify_threshold": 1.0,
    "figure.dpi": 100,
}


@dataclass(frozen=True)
class RenderedFigure:
    """A figure ready for the page, and to be saved as a file."""

    name: str
    title: str
    description: str
    svg: str
    painted: Figure
    """Laid out, so that every file format has the same places."""
    data: ReportTable | None = None
    """The numbers that are drawn."""
    narrow: str = ""
    """The SVG that a narrow screen shows in its place; empty where one does for all."""

    def save(self, path: Path) -> None:
        """Draws the PNG or PDF file that `path` ends in; the same bytes each time."""
        metadata = METADATA[path.suffix]
        with use_style(self.name):
            self.painted.savefig(path, dpi=150, facecolor="white", metadata=metadata)


def render_figure(
    name: str,
    title: str,
    description: str,
    paint: Callable[[Figure], None],
    size: tuple[float | int, float | int],
    data: ReportTable | None = None,
    narrow: tuple[Callable[[Figure], None], tuple[float | int, float | int]] | None = None,
) -> RenderedFigure:
    """Paints a figure of `size` inches and renders it as SVG.

    `paint` fills the figure; `data` is the table of what it draws; `narrow` paints the same for a
    narrow screen, at a size of its own, as SVG alone.
    """
    with use_style(name):
        figure, element = paint_svg(name, paint, size)
        figure.set_layout_engine(None)  # laid out once: PNG and PDF take the same places
        beside = paint_svg(f"{name}_narrow", *narrow)[1] if narrow else ""
    return RenderedFigure(name, title, description, element, figure, data, beside)


@contextmanager
def use_style(name: str) -> Iterator[None]:
    """What holds while a figure of this name is painted or drawn."""
    fonts: dict[str, Any] = {"font.family": ["DejaVu Sans", *find_cjk_fonts()]}
    # matplotlib salts the SVG's ids at random unless it is given a salt.
    rc: Any = {**RC_PARAMS, **fonts, "svg.hashsalt": name}
    # No pyplot: it would choose a backend and keep every figure open.
    with mpl.rc_context(rc), warnings.catch_warnings():
        # Only PNG and PDF lack a glyph then: the page's text is drawn by the browser.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def paint_svg(
    name: str, paint: Callable[[Figure], None], size: tuple[float | int, float | int]
) -> tuple[Figure, str]:
    """The painted figure and its inline SVG."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    paint(figure)
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return figure, make_inline_svg(text.getvalue(), name)


def find_cjk_fonts() -> list[str]:
    """The first installed font that has Chinese glyphs, for the PNG files."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in CJK_FONTS if name in installed][:1]


def make_inline_svg(svg: str, name: str) -> str:
    """An SVG document as an element of the page: own ids, no metadata, no namespace, no style.

    Ids that nothing refers to, and digits that nobody sees, are a fifth of a figure: left out.
    """
    svg = svg[svg.index("<svg") :]  # an XML declaration may not stand inside HTML
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    # The SVG writer gives the same ids in each figure; in one page they would be one another's.
    prefix = re.sub(r"[^A-Za-z0-9_]", "_", name)
    svg = re.sub(r'\bid="([^"]*)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}-', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}-", svg)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    svg = re.sub(r'\sid="([^"]*)"', lambda match: match[0] if match[1] in used else "", svg)
    svg = re.sub(r"(font: (?:\w+ )?[\d.]+px) [^;\"]*", r"\1 var(--font)", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    # Without a size of its own the figure takes the page's width.
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", svg, count=1)
    # Inside tags alone: in a text these are the digits that tell one tick from the next.
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d+\.\d{2})\d+", r"\1", tag[0]), svg)
    svg = re.sub(r' d="[^"]*"', lambda match: re.sub(r"(\.\d)\d", r"\1", match[0]), svg)
    return re.sub(r">\s+<", "><", svg)


def make_standalone_svg(svg: str) -> str:
    """The inline SVG as a file of its own."""
    for colour, variable in VARIABLES.items():
        svg = svg.replace(variable, colour)
    svg = svg.replace("var(--font)", "sans-serif")
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def write_figures(figures: Iterable[RenderedFigure], folder: Path) -> None:
    """FOLDER/NAME.svg, .png and .pdf of each, and no others; what shows the same is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = set()
    for figure in figures:
        svg, *drawn = (folder / f"{figure.name}{suffix}" for suffix in (".svg", *METADATA))
        kept |= {svg, *drawn}
        text = make_standalone_svg(figure.svg)
        if all(path.is_file() for path in drawn) and read_if_there(svg) == text:
            continue
        # First and last, so that a drawing that is broken off is no figure that is there.
        svg.unlink(missing_ok=True)
        for path in drawn:
            figure.save(path)
        svg.write_text(text, encoding="utf-8")
    for path in set(folder.iterdir()) - kept:
        path.unlink()


def read_if_there(path: Path) -> str | None:
    """A file's text; None where there is no file."""
    return path.read_text(encoding="utf-8") if path.is_file() else None
