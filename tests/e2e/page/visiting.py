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
