"""New faces of two generators on a phone, in a real browser."""

import pytest

from tests.e2e import test_accessibility, test_browser
from tests.fixtures import toy_app

chromium, visit, pytestmark = test_browser.chromium, test_browser.visit, test_browser.pytestmark


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of a page with two generators of new faces, and its pipelines."""
    toys = toy_app.Toys()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        with toy_app.served(toys, ["several faces"]) as url:
            yield url, toys


def test_a_generator_is_chosen_on_a_phone_and_brings_its_menus(visit):
    page = visit(*test_browser.PHONE, "?seed=7&truncation=0.6", locale="de-DE")
    page.wait_for_selector("#new-report :text('7')")
    assert page.locator("#moves").is_visible() and not page.locator("#moves-2").is_visible()
    flat = page.get_attribute("#new-face img", "src")
    page.locator("#new-style").get_by_text("Toy heads").click()
    page.wait_for_selector("#choice-beard-2", state="visible")
    page.wait_for_function(f"document.querySelector('#new-face img').src !== {flat!r}")
    assert page.input_value("#seed input, #seed textarea") == "7"
    assert not page.locator("#moves").is_visible()
    page.locator("#choice-beard-2 input").click()
    page.get_by_role("option", name="Voll").click()
    page.wait_for_selector("#new-report :text('Bart: Voll')")
    test_browser.assert_fits(page)
    page.click("#copy")
    page.wait_for_function("location.search.endsWith('&choose.beard=full&generator=heads')")
    assert page.faults == []

    page.goto(page.url)
    page.wait_for_selector("#new-report :text('Bart: Voll')")
    assert page.locator("#new-style input[value=heads]").is_checked()
    assert page.locator("#moves-2").is_visible() and not page.locator("#moves").is_visible()


@pytest.mark.skipif(not test_accessibility.AXE.is_file(), reason="npm install --no-save axe-core")
def test_menus_of_both_generators_have_no_serious_finding(visit):
    page = visit(*test_browser.PHONE, "?seed=7&generator=heads", reduced_motion="reduce")
    page.wait_for_selector("#choice-beard-2", state="visible")
    page.evaluate(test_accessibility.OPEN_ALL)
    page.evaluate(test_accessibility.AXE.read_text(encoding="utf-8"))
    page.wait_for_function("!document.querySelector('.pending, .generating')")
    page.wait_for_timeout(300)  # accordions slide
    assert page.evaluate(test_accessibility.FINDINGS) == []
