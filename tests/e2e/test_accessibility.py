"""The page for people who use a keyboard or a screen reader: axe-core's findings, and focus.

axe-core is fetched by `npm install --no-save axe-core`; without it its tests are skipped.
"""

import pytest

from tests.e2e import test_browser
from toonify.files import find_project

AXE = find_project() / "node_modules" / "axe-core" / "axe.min.js"
site, chromium, visit = test_browser.site, test_browser.chromium, test_browser.visit
pytestmark = test_browser.pytestmark

OPEN_ALL = """document.querySelectorAll('button.label-wrap:not(.open)').forEach(
    button => button.checkVisibility() && button.click())"""
FINDINGS = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
    .filter(found => ['serious', 'critical'].includes(found.impact))
    .map(found => [found.id, found.nodes.map(node => node.html.slice(0, 200))])"""


@pytest.mark.skipif(not AXE.is_file(), reason="npm install --no-save axe-core")
@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 800), ("light", 390)])
def test_no_tab_has_a_serious_finding(visit, theme, width):
    page = visit(width=width, query=f"?__theme={theme}", reduced_motion="reduce")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    assert ("dark" in page.evaluate("document.body.className")) == (theme == "dark")
    tabs = page.locator("#tabs [role=tab]")
    names = tabs.all_inner_texts()
    assert len(names) == 6  # none is in gradio's menu
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in names:
        page.get_by_role("tab", name=name, exact=True).click()
        page.evaluate(OPEN_ALL)
        if name == "Photo":
            test_browser.upload(page, test_browser.PORTRAIT)
            test_browser.natural_sizes(page)
            page.wait_for_selector("text=Press a preview to draw it large.")
        elif name == "New faces":
            page.click("#new-draw")
            page.wait_for_selector("#crowd img", timeout=180_000)  # loads torch
        page.wait_for_function("!document.querySelector('.pending, .generating')")  # pale
        page.wait_for_timeout(300)  # accordions slide
        assert page.evaluate(FINDINGS) == [], name


def test_what_is_shown_has_a_text(visit):
    page = visit(locale="de-DE")
    test_browser.upload(page, test_browser.PORTRAIT)
    test_browser.natural_sizes(page)
    page.wait_for_selector("#compare img[alt=Cartoon]")
    shown = "[...document.querySelectorAll('#compare img')].map(image => image.alt)"
    assert page.evaluate(shown) == ["Original", "Cartoon"]
    assert page.get_attribute("#examples button >> nth=1", "aria-label") == "Beispiel 2"
    assert page.get_attribute("html", "lang") == "de"


def test_the_page_is_used_by_keyboard_in_the_order_in_which_it_is_read(visit, site):
    page = visit()
    test_browser.upload(page, test_browser.PORTRAIT)
    test_browser.natural_sizes(page)
    page.wait_for_selector("text=Press a preview to draw it large.")
    page.locator("#tabs [role=tab]").first.focus()
    parts, reached = ["photo", "examples", "previews", "settings", "draw", "options"], []
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """ids => ids.find(id => document.activeElement.closest('#' + id))""",
            [*parts, "compare", "download"],
        )
        if focused and focused not in reached:
            reached.append(focused)
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid" or focused in ("photo", "settings"), focused
    assert reached == [*parts, "compare", "download"]
    line = page.locator("#compare [role=slider]")
    before = line.bounding_box()["x"]
    line.press("ArrowLeft")
    shown = "document.querySelector('#compare [role=slider]').getBoundingClientRect().x"
    page.wait_for_function(f"{shown} < {before} - 10")
    page.wait_for_selector("#compare [role=slider]:not([aria-valuenow='50'])")
    assert int(line.get_attribute("aria-valuenow")) < 50
