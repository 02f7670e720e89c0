"""Answers that come when something else is asked already are not shown."""

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.page.visiting import OWL, needs_chromium, opened, upload, visit

pytestmark = needs_chromium


def hold(page: Page, part: str) -> None:
    """Hold back answers whose address has that part, until `let_go`; then `body#late` is there."""
    page.evaluate(
        """part => {
            const answer = fetch;
            const released = new Promise(resolve => { window.letGo = resolve; });
            const mark = () => { document.body.id = "late"; };
            window.fetch = async (target, options) => {
                if (!String(target).includes(part)) return answer(target, options);
                try {
                    const found = await answer(target, options);
                    await released;
                    return found;
                } finally {  // the page has seen it two frames later
                    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(mark)));
                }
            };
        }""",
        part,
    )


def let_go(page: Page) -> None:
    """Give the page the answers that were held back."""
    page.evaluate("window.letGo()")
    expect(page.locator("body#late")).to_be_attached()


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

    def test_layers(self, page: Page) -> None:
        opened(page)
        hold(page, "layer=stem")
        page.locator(".node[data-layer='stem']").click()
        page.locator(".node[data-layer='relu']").click()
        expect(page.locator("#layer h3")).to_contain_text("relu: ReLU")
        let_go(page)
        expect(page.locator("#layer h3")).to_contain_text("relu: ReLU")

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
