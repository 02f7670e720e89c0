"""Answers that come when something else is asked already are not shown.

tests/e2e/page/test_inside.py has the case of a layer.
"""

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.page.visiting import OWL, hold, let_go, needs_chromium, opened, upload, visit

pytestmark = needs_chromium


@pytest.mark.thorough
class TestOutdated:
    """An answer that comes late doesn't replace a newer one."""

    def test_models(self, page: Page) -> None:
        visit(page)
        hold(page, "models/mnist")
        page.locator("#model").select_option("mnist")
        page.locator("#model").select_option("xo")
        expect(page.locator("#facts")).to_contain_text("circles, crosses")
        let_go(page)
        expect(page.locator("#facts")).to_contain_text("circles, crosses")
        expect(page.locator("#target")).to_contain_text("crosses")

    def test_heat_maps(self, page: Page) -> None:
        opened(page)
        hold(page, "method=integrated-gradients")
        page.locator("#method").select_option("integrated-gradients")
        page.locator("#method").select_option("saliency")
        expect(page.locator(".legend")).to_have_class("legend")
        let_go(page)
        expect(page.locator(".legend")).to_have_class("legend")
        expect(page.locator("figcaption").first).not_to_contain_text("Convergence delta")

    def test_layers_wait_for_no_heat_map(self, page: Page) -> None:
        visit(page)
        page.route("**/explain?*", lambda route: None)  # no answer at all
        upload(page, OWL)
        expect(page.locator("#network .node img[src]")).to_have_count(25)
        expect(page.locator("#blocks .node img[src]")).to_have_count(4)
