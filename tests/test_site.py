"""The docs as a site: built without a warning, and loading nothing from other hosts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fastapi import FastAPI
from playwright.sync_api import sync_playwright
from starlette.staticfiles import StaticFiles

from tests.e2e.page.visiting import CHROMIUM, needs_chromium
from tests.e2e.servers import in_thread

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},  # its makers' word on their next version
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    assert not built.stderr
    return folder


def test_every_page_is_in_the_contents() -> None:
    text = re.sub(r"!!python\S*", "", (ROOT / "mkdocs.yml").read_text("utf-8"))
    contents = str(yaml.safe_load(text)["nav"])
    for page in DOCS.rglob("*.md"):
        assert f"'{page.relative_to(DOCS).as_posix()}'" in contents


@pytest.mark.slow
def test_it_loads_nothing_from_other_hosts(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    loaded = re.compile(
        r"<(?:script|img|iframe)[^>]*\ssrc=\"?(https?:)?//|<link[^>]*rel=\"?(?:stylesheet|preload|icon)"
        r"[^>]*href=\"?(https?:)?//"
    )
    for page in pages:
        assert not loaded.search(page.read_text("utf-8")), page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import )['\"]?(https?:)?//", sheet.read_text("utf-8")), sheet


@pytest.mark.slow
def test_links_out_of_the_docs_are_names_there(site: Path) -> None:
    text = (site / "deploy.html").read_text("utf-8")
    assert "deploy/nginx/fanlight.conf" in text
    assert "../deploy/nginx" not in text


@pytest.mark.slow
def test_a_page_says_its_language(site: Path) -> None:
    for page, language in (("tutorial.zh-CN.html", "zh-CN"), ("tutorial.html", "en")):
        assert f'<html lang="{language}"' in (site / page).read_text("utf-8")


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize(
    ("word", "page"), [("混淆矩阵", "tutorial.zh-CN"), ("kernel", "look-inside")]
)
def test_the_search_finds_words_of_both_languages(site: Path, word: str, page: str) -> None:
    app = FastAPI()
    app.mount("/", StaticFiles(directory=site))
    with in_thread(app) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.goto(f"{url}/index.html")
        asked = tab.locator("input.md-search__input")
        asked.fill(word)
        asked.press("End")  # the page looks at what was typed when a key is released
        tab.locator(f"a.md-search-result__link[href*='/{page}.html']").first.wait_for(
            timeout=30_000
        )
        browser.close()
