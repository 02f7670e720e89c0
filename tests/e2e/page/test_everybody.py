"""The page is for everybody: by keyboard, on a phone, in dark mode, without other hosts."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

import service
from tests.e2e.page.visiting import OWL, SLOW, needs_chromium, opened, upload, visit
from tests.e2e.servers import running

pytestmark = needs_chromium
STATIC = Path(service.__file__).parent / "static"


def serious(page: Page) -> list[str]:
    """What axe finds wrong that keeps people out."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {[node['html'] for node in each['nodes']]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


class TestEverybody:
    def test_by_keyboard_alone(self, page: Page) -> None:
        visit(page)
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.className") == "sample":
                break
        page.keyboard.press("Enter")
        expect(page.locator(".picture strong")).to_be_visible()
        expect(page.locator("#inside")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#inside")).to_be_hidden()
        expect(page.locator(".picture")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#inside-title")).to_be_focused()

    def test_layers_by_keyboard(self, page: Page) -> None:
        """A row is one stop for the tab key, with arrows between its layers, or its blocks."""
        opened(page)
        page.locator(".node[data-layer='stem']").focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator(".node[data-layer='relu']")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#layer h3")).to_contain_text("relu: ReLU")
        expect(page.locator(".node[data-layer='relu']")).to_be_focused()
        page.keyboard.press("End")
        expect(page.locator(".node[data-layer='fc']")).to_be_focused()
        page.keyboard.press("Tab")
        expect(page.locator("#blocks .node[data-layer='blocks.0']")).to_be_focused()
        page.keyboard.press("ArrowRight")
        expect(page.locator("#blocks .node[data-layer='blocks.1']")).to_be_focused()
        page.keyboard.press("Tab")
        assert not page.evaluate("document.activeElement.matches('.node')")

    def test_drawing_by_keyboard(self, page: Page) -> None:
        visit(page, "?model=mnist")
        page.locator("#pad").focus()
        for key, times in (("ArrowUp", 10), (" ", 1), ("ArrowDown", 20), (" ", 1)):
            for _ in range(times):
                page.keyboard.press(key)
        expect(page.locator(".picture strong")).to_have_text(re.compile(r"^1 \d"))

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_axe_finds_nothing_serious(self, page: Page, scheme: str) -> None:
        dark = scheme == "dark"
        page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
        visit(page, "?model=xo")
        assert serious(page) == []
        opened(page, "?layer=blocks.0.conv1&channel=0")
        expect(page.locator("#value")).to_be_visible()
        expect(page.locator("[aria-busy]")).to_have_count(0)  # else what is there is paler
        assert serious(page) == []

    def test_a_phone_needs_no_sideways_scrolling(self, page: Page) -> None:
        page.set_viewport_size({"width": 360, "height": 740})
        opened(page, "?layer=blocks.0.conv1&channel=0")
        expect(page.locator("#value")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360

    @pytest.mark.thorough
    def test_a_key_is_asked_for(self, browser: Browser, tmp_path: Path) -> None:
        with running(tmp_path / "log", "--api-key", "sesame") as secured:
            page = browser.new_page(base_url=secured.url)
            page.goto("/")
            page.get_by_label("API key").fill("sesame")
            page.get_by_role("button", name="Use it").click()
            expect(page.locator(".sample").first).to_be_visible(timeout=SLOW)
            page.close()

    def test_a_service_that_is_busy_is_asked_once_more(self, page: Page) -> None:
        visit(page)
        asked: list[str] = []

        def busy(route: Route) -> None:
            asked.append(route.request.url)
            problem = '{"title": "Queue full", "detail": "come again"}'
            route.fulfill(status=429, headers={"Retry-After": "1"}, body=problem)

        page.route("**/predict?*", busy)
        upload(page, OWL)
        expect(page.locator(".picture .error")).to_have_text("Queue full: come again")
        expect(page.locator("#notice")).to_have_text("Queue full: come again")
        assert len(asked) == 2

    def test_an_address_that_makes_no_sense(self, page: Page) -> None:
        opened(page, "?model=no&version=x&compare=no&method=no&target=no&layer=no&channel=no")
        expect(page.locator("#model")).to_have_value("birds-vs-planes")
        expect(page.locator("#method")).to_have_value("grad-cam")
        expect(page.locator("#notice")).to_be_hidden()

    @pytest.mark.thorough
    def test_a_service_that_went_away(self, browser: Browser, tmp_path: Path) -> None:
        with running(tmp_path / "log") as server:
            page = browser.new_page(base_url=server.url)
            visit(page)
        upload(page, OWL)
        expect(page.locator("#notice")).to_contain_text(
            "the service can't be reached", timeout=SLOW
        )
        page.close()

    def test_it_is_small(self) -> None:
        files = [
            STATIC / "index.html",
            STATIC / "playground.css",
            *(STATIC / "playground").iterdir(),
        ]
        assert sum(file.stat().st_size for file in files) < 100_000
