"""The page in a real browser: silent, offline, sortable, and deaf to what it shows."""

from importlib import resources

import pytest

from tests.report.browser import PROGRAM, Browser

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="no chromium on this machine"),
    pytest.mark.integration,
]

SECTIONS = [
    "missing", "verdicts", "matrix", "q-baselines", "q-fusion", "q-ablation_layers", "training",
    "budget", "leakage", "extraction", "disagreements", "methods", "reproduce",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser(index_page):
    with Browser() as opened:
        opened.open(index_page)
        yield opened


def test_no_error_and_no_request(browser, index_page):
    assert browser.read_errors() == []
    addresses = [address for address in browser.list_requests() if not address.startswith("data:")]
    assert addresses == [index_page.resolve().as_uri()]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_is_there_and_has_a_heading(browser, section):
    heading_length = f"document.getElementById('{section}').querySelector('h2').textContent.length"
    assert browser.evaluate(heading_length) > 3


def test_nothing_hostile_ran(browser):
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    every = "document.querySelectorAll('b, a, img, svg')"
    browser.evaluate(f"{every}.forEach(e => e.dispatchEvent(new Event('mouseover')))")
    assert browser.evaluate("window.pwned === undefined")
    assert browser.evaluate("document.querySelectorAll('img, iframe, object').length") == 0
    assert browser.evaluate("document.scripts.length") == 2
    texts = browser.evaluate(
        "[...document.querySelectorAll('.text')].map(e => e.textContent).join()"
    )
    assert "<script>window.pwned=1</script>" in texts
    assert "javascript:window.pwned=3" in texts
    assert "{{ 7*7 }}" in texts
    assert "\u8bb0\u5f97\u4e2d\u6587" in texts


def test_links_stay_in_the_page(browser):
    links = browser.evaluate("[...document.links].map(a => a.getAttribute('href'))")
    assert all(link.startswith("#") for link in links)
    target = "document.getElementById(a.getAttribute('href').slice(1))"
    assert browser.evaluate(f"[...document.links].every(a => {target} !== null)")


def column_texts(table: str, index: int) -> str:
    rows = f"[...document.querySelectorAll('{table} tbody tr')]"
    return f"{rows}.filter(r => !r.hidden).map(r => r.cells[{index}].textContent.trim())"


def test_sorting_puts_numbers_in_order_and_gaps_last(browser):
    table = "#matrix-table"
    last = browser.evaluate(f"document.querySelector('{table} tr').cells.length") - 1
    click = f"document.querySelectorAll('{table} [data-sort]')[{last}].click()"
    for first, reverse in (("descending", True), ("ascending", False)):
        browser.evaluate(click)
        state = f"document.querySelectorAll('{table} thead th')[{last}].ariaSort"
        assert browser.evaluate(state) == first
        cells = browser.evaluate(column_texts(table, last))
        numbers = [
            float(c.removeprefix("\u2248 ").split("\u00b1")[0]) for c in cells if c[-1].isdigit()
        ]
        assert numbers == sorted(numbers, reverse=reverse)
        assert len(numbers) > 5
        assert cells[-1].startswith("missing")


def test_filtering_hides_what_does_not_match(browser):
    box = "document.querySelector('#matrix [data-filter]')"
    visible = column_texts("#matrix-table", 0)
    browser.evaluate(f"{box}.value = 'layers'; {box}.dispatchEvent(new Event('input'))")
    assert sorted(browser.evaluate(visible)) == ["layers=all", "layers=shallow"]
    browser.evaluate(f"{box}.value = ''; {box}.dispatchEvent(new Event('input'))")
    assert len(browser.evaluate(visible)) > 8


def test_items_can_be_filtered(browser):
    box = "document.querySelector('[data-filter-items]')"
    items = "document.querySelector('[data-items]').querySelectorAll('.item:not([hidden])')"
    visible = f"{items}.length"
    before = browser.evaluate(visible)
    browser.evaluate(f"{box}.value = 'nano_logic'; {box}.dispatchEvent(new Event('input'))")
    assert 0 < browser.evaluate(visible) < before


def test_the_theme_can_be_switched(browser):
    paper = "getComputedStyle(document.body).backgroundColor"
    before = browser.evaluate(paper)
    browser.evaluate("document.getElementById('theme').click()")
    assert browser.evaluate(paper) != before
    browser.evaluate("document.getElementById('theme').click()")
    assert browser.evaluate(paper) == before


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_does_not_scroll_sideways(browser, width):
    browser.resize(width, 900)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_every_figure_has_a_name_and_no_id_is_used_twice(browser):
    named = "[...document.querySelectorAll('figure svg')].every(s => s.ariaLabel.length > 20)"
    assert browser.evaluate(named)
    ids = browser.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_without_script_nothing_is_hidden(index_page):
    with Browser() as plain:
        plain.call("Emulation.setScriptExecutionDisabled", value=True)
        plain.open(index_page)
        assert plain.read_errors() == []


def test_print_leaves_no_heading_at_the_foot_of_a_page():
    style = (resources.files("kvdistill.report") / "page/style.css").read_text("utf-8")
    print_rules = next(line for line in style.split("@media ") if line.startswith("print"))
    assert "h2,h3,h4,.bar{break-after:avoid}" in print_rules
