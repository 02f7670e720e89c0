"""What people do first on the page, and the pictures that they bring."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.networks import DATA

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
OWL, PLANE = (DATA / "birds-vs-planes" / f"{name}.png" for name in ("bird-owl", "airplane-747"))
SLOW = 20_000  # milliseconds that a loaded machine may take


def visit(page: Page, query: str = "") -> None:
    page.goto(f"/{query}")
    expect(page.locator(".sample").first).to_be_visible()


def upload(page: Page, *files: Path) -> None:
    page.locator("#files").set_input_files(list(files))


def opened(page: Page, query: str = "") -> None:
    """A picture that is looked into, with its network and its heat map."""
    visit(page, query)
    upload(page, OWL)
    expect(page.locator(".legend i").first).to_be_visible()
    expect(page.locator(".node img[src]").last).to_be_visible()


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
