"""A browser with the page of a running service."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.page.visiting import CHROMIUM, SLOW
from tests.e2e.servers import Server, running

# a camera that shows a test picture, and nobody who would have to allow it
FLAGS = ("--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("page") / "log", "--log-level", "warning") as server:
        yield server


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    """The address of the page."""
    return server.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """The page; whatever it complains about, or asks of another host, fails the test."""
    context = browser.new_context(base_url=url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(SLOW)
    expect.set_options(timeout=SLOW)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((url, "data:", "blob:"))
            else problems.append(request.url)
        ),
    )
    yield page
    context.close()
    refused = re.compile("Failed to load resource: the server responded with a status of 4")
    assert [line for line in problems if not refused.match(line)] == []
