"""The page of an evaluation: what it shows, that names stay names, and that it works everywhere."""

import re
from pathlib import Path

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from tests.e2e.page.visiting import CHROMIUM, needs_chromium
from training.data.datasets import ImageSet, Origin
from training.fitting import evaluation
from training.review.evaluation_page import MAX_TABLE, WORST, About, page

HOSTILE = "\"'><script>alert(1)</script><img src=//x.test/y onerror=alert(2)>\u202e"
ABOUT = About("pets/1", "holiday", "test")


def shown(
    targets: list[int],
    logits: torch.Tensor,
    labels: tuple[str, ...],
    doubts: tuple[list[bool], list[bool]] | None = None,
    name: str = "{}.png",
) -> str:
    """Return the page for pictures of noise with these labels and logits."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (len(targets), 3, 8, 8), generator=generator)
    origins = tuple(Origin(name.format(number)) for number in range(len(targets)))
    images = ImageSet(pictures.byte(), torch.tensor(targets), labels, origins=origins)
    result = evaluation.score(logits, images.targets, labels)
    told = None if doubts is None else (torch.tensor(doubts[0]), torch.tensor(doubts[1]))
    return page(ABOUT, images, result, logits.softmax(1), told).decode()


def names(text: str, section: str) -> list[str]:
    """The names of pictures in a section, in order."""
    content = text.partition(f'<section id="{section}">')[2].partition("</section>")[0]
    return re.findall(r"<br><bdi>(\d+)\.png</bdi>", content)


LOGITS = torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 4.0], [1.0, 0.0], [0.0, 0.5]])


def test_mistakes_come_by_their_surety_and_doubts_by_their_lack_of_it() -> None:
    doubts = ([False, False, True, False, False], [True, False, False, False, True])
    text = shown([0, 0, 0, 1, 1], LOGITS, ("cat", "dog"), doubts)
    assert names(text, "mistakes") == ["2", "1", "3"]
    assert names(text, "unsure") == ["4", "0", "2"]
    assert "surest mistakes: 3" in text
    assert "unsure: 3" in text
    assert text.count("<br>unfamiliar") == 1
    assert text.count("<br>ambiguous") == 2
    assert ">cat</bdi> (0.02), taken for <strong><bdi>dog</bdi></strong> (0.98)" in text
    assert "accuracy</dt><dd>0.4000 (95 %: " in text


def test_cells_of_the_matrix_lead_to_pictures() -> None:
    text = shown([0, 0, 0, 1, 1], LOGITS, ("cat", "dog"))
    targets = re.findall(r'<a href="#(pair-[^"]+)" aria-label="([^"]+)">(\d+)</a>', text)
    assert targets == [
        ("pair-0-1", "2 pictures of cat taken for dog", "2"),
        ("pair-1-0", "1 pictures of dog taken for cat", "1"),
    ]
    for name, *_ in targets:
        assert f'id="{name}"' in text


def test_without_calibration_the_least_probable_answers_are_shown() -> None:
    text = shown([0, 0, 0, 1, 1], LOGITS, ("cat", "dog"))
    assert names(text, "unsure")[:2] == ["4", "3"]
    assert "The model has no calibration" in text


def test_no_mistakes_no_doubts_and_a_class_without_pictures() -> None:
    text = shown([0, 1], torch.eye(3)[:2] * 9, ("cat", "dog", "owl"), ([False] * 2, [False] * 2))
    assert "Every answer is right." in text
    assert "No answer is unsure." in text
    assert "<bdi>owl</bdi>" in text


def test_many_pictures_and_classes_are_cut_and_counted() -> None:
    classes = MAX_TABLE + 1
    targets = [number % classes for number in range(3 * classes)]
    logits = torch.eye(classes)[[(target + 1) % classes for target in targets]]
    text = shown(targets, logits, tuple(f"c{number}" for number in range(classes)))
    assert len(names(text, "mistakes")) == WORST
    assert f"<p>{len(targets) - WORST:,} more.</p>" in text
    assert 'class="matrix"' not in text
    assert "There are 41 classes: more than fit in a table" in text
    assert "<p>21 more pairs have mistakes.</p>" in text


def test_what_others_named_stays_text_and_nothing_is_loaded() -> None:
    text = shown([0, 0, 0, 1, 1], LOGITS, (HOSTILE, "dog"), name=HOSTILE + "{}")
    assert "<script" not in text
    assert "<img src=//" not in text
    assert "\u202e" not in text
    assert "default-src 'none'" in text
    assert set(re.findall(r'(?:src|href)="([^"#]{4})', text)) == {"data"}


@pytest.mark.slow
@needs_chromium
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    long = "a label that is so long that no column of a table could hold it " * 2
    path = tmp_path / "evaluation.html"
    path.write_text(shown([0, 0, 0, 1, 1], LOGITS, (HOSTILE, long), name=HOSTILE + "{}"), "utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 360, "height": 640}, color_scheme="dark")
        asked: list[str] = []
        told: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: told.append(message.text))
        tab.on("dialog", lambda dialog: told.append(dialog.message))
        tab.goto(path.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        assert Axe().run(tab).response["violations"] == []
        tab.locator("nav a").first.focus()
        focused = "document.activeElement.getAttribute('href') || document.activeElement.className"
        seen = [tab.evaluate(focused)]
        for _ in range(5):
            tab.keyboard.press("Tab")
            seen.append(tab.evaluate(focused))
        sections = ["#confusion", "#mistakes", "#unsure", "#classes"]
        assert seen == [*sections, "scroll", "#pair-0-1"]
        tab.keyboard.press("Enter")
        assert tab.url.endswith("#pair-0-1")
        assert {url for url in asked if not url.startswith("data:")} == {path.as_uri()}
        assert told == []
        browser.close()
