"""A figure's files: what a reader tells apart stays apart, and the same bytes come each time."""

import re

from matplotlib.figure import Figure

from kvdistill.report.figures.style import render_figure, write_figure


def paint(figure: Figure) -> None:
    axes = figure.add_subplot()
    axes.plot([0, 1], [0.001, 0.004])
    axes.set_yticks([0.0012, 0.0014], ["0.0012", "0.0014"])


def test_ticks_keep_the_digits_that_tell_them_apart():
    svg = render_figure("a", "t", "d", paint, (3, 2)).svg
    assert {"0.0012", "0.0014"} <= set(re.findall(r">([\d.]+)<", svg))
    coordinates = re.findall(r'\b(?:x|y|cx)="(-?[\d.]+)"', svg)
    assert coordinates
    assert all(len(number.partition(".")[2]) <= 2 for number in coordinates)


def test_a_figure_is_three_files_and_the_same_bytes_each_time(tmp_path):
    for name in ("one", "two"):
        write_figure(render_figure("a", "t", "d", paint, (3, 2)), tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["a.pdf", "a.png", "a.svg"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    pdf = (tmp_path / "one/a.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/Type3" not in pdf, "venues refuse these fonts"


def test_a_narrow_screen_has_a_drawing_of_its_own():
    wide = render_figure("a", "t", "d", paint, (9, 2), narrow=(paint, (3.9, 2)))
    widths = [float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1]) for svg in (wide.svg, wide.narrow)]
    assert widths[1] < 0.5 * widths[0]
    assert not set(re.findall(r'id="([^"]*)"', wide.svg)) & set(
        re.findall(r'id="([^"]*)"', wide.narrow)
    )
