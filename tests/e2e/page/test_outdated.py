"""Answers that come when something else is asked already are not shown."""

from playwright.sync_api import Page, expect

from tests.e2e.page.visiting import OWL, needs_chromium, opened, upload, visit

pytestmark = needs_chromium


def delay(page: Page, part: str) -> None:
    """Let answers whose address has that part come late; `body#late` is when one has."""
    page.evaluate(
        """part => {
            const answer = fetch;
            window.fetch = async (target, options) => {
                if (!String(target).includes(part)) return answer(target, options);
                try {
                    const found = await answer(target, options);
                    await new Promise(resolve => setTimeout(resolve, 600));
                    return found;
                } finally {
                    setTimeout(() => { document.body.id = "late"; }, 200);
                }
            };
        }""",
        part,
    )


class TestOutdated:
    """An answer that comes late doesn't replace a newer one."""

    def test_models(self, page: Page) -> None:
        visit(page)
        delay(page, "models/mnist")
        page.locator("#model").select_option("mnist")
        page.locator("#model").select_option("xo")
        expect(page.locator("body#late")).to_be_attached()
        expect(page.locator("#facts")).to_contain_text("circles, crosses")
        expect(page.locator("#target")).to_contain_text("crosses")

    def test_layers(self, page: Page) -> None:
        opened(page)
        delay(page, "layer=stem")
        page.locator(".node[data-layer='stem']").click()
        page.locator(".node[data-layer='relu']").click()
        expect(page.locator("body#late")).to_be_attached()
        expect(page.locator("#layer h3")).to_contain_text("relu: ReLU")

    def test_heat_maps(self, page: Page) -> None:
        opened(page)
        delay(page, "method=integrated-gradients")
        page.locator("#method").select_option("integrated-gradients")
        page.locator("#method").select_option("saliency")
        expect(page.locator("body#late")).to_be_attached()
        expect(page.locator(".legend")).to_have_class("legend")
        expect(page.locator("figcaption").first).not_to_contain_text("Convergence delta")

    def test_layers_wait_for_no_heat_map(self, page: Page) -> None:
        visit(page)
        page.route("**/explain?*", lambda route: None)  # no answer at all
        upload(page, OWL)
        expect(page.locator(".node img[src]")).to_have_count(25)
