"""A figure's files: what a reader tells apart stays apart, and the same bytes come each time."""

import re

import pytest
from matplotlib.figure import Figure

from kvdistill.report.figures.style import render_figure, write_figures


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
        write_figures([render_figure("a", "t", "d", paint, (3, 2))], tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["a.pdf", "a.png", "a.svg"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    pdf = (tmp_path / "one/a.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/Type3" not in pdf, "venues refuse these fonts"


def paint_other(figure: Figure) -> None:
    figure.add_subplot().plot([0, 1], [1, 0])


@pytest.mark.integration
def test_what_shows_the_same_is_not_drawn_again(tmp_path):
    for name in "ab":
        write_figures([render_figure(name, "t", "d", paint, (3, 2))], tmp_path / name)
    a = tmp_path / "a/a.png"
    a.write_bytes(b"kept")
    write_figures([render_figure("a", "t", "d", paint, (3, 2))], a.parent)
    assert a.read_bytes() == b"kept"
    write_figures([render_figure("a", "t", "d", paint_other, (3, 2))], a.parent)
    assert a.read_bytes().startswith(b"\x89PNG")
    (tmp_path / "b/b.pdf").unlink()
    write_figures([render_figure("b", "t", "d", paint, (3, 2))], tmp_path / "b")
    assert (tmp_path / "b/b.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.integration
def test_a_drawing_that_is_broken_off_is_begun_again(tmp_path, monkeypatch):
    figures = [render_figure("a", "t", "d", paint, (3, 2))]
    write_figures(figures, tmp_path)
    changed = [render_figure("a", "t", "d", paint_other, (3, 2))]
    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda *_, **__: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            write_figures(changed, tmp_path)
    before = (tmp_path / "a.png").read_bytes()
    write_figures(figures, tmp_path)
    assert (tmp_path / "a.svg").is_file()
    write_figures(changed, tmp_path)
    assert (tmp_path / "a.png").read_bytes() != before


def test_a_narrow_screen_has_a_drawing_of_its_own():
    wide = render_figure("a", "t", "d", paint, (9, 2), narrow=(paint, (3.9, 2)))
    widths = [float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1]) for svg in (wide.svg, wide.narrow)]
    assert widths[1] < 0.5 * widths[0]
    assert not set(re.findall(r'id="([^"]*)"', wide.svg)) & set(
        re.findall(r'id="([^"]*)"', wide.narrow)
    )
