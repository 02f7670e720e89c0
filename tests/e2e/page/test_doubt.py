"""The page says in words that an answer is unsure, and why."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect

from models import checkpoint
from models.architectures import registry
from models.structure import reading
from tests import trusted
from tests.e2e.page.visiting import needs_chromium, upload
from tests.e2e.servers import Server, running
from tests.trusted import Kind

pytestmark = [needs_chromium, pytest.mark.slow]


ARCHITECTURE = "birdplane-batchnorm"  # the server's process knows no network of the tests


def publish(repository: Path, name: str, kind: Kind | None) -> None:
    known = registry.architecture(ARCHITECTURE)
    spec, network = known.input_for({}), known.build(2).eval()
    layers = reading.layers(network, torch.zeros(1, *spec.shape))
    trust = None if kind is None else trusted.fitted(network, layers, kind, spec)
    checkpoint.publish(
        repository,
        network,
        name=name,
        architecture=ARCHITECTURE,
        labels=("even", "odd"),
        input=spec,
        trust=trust,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("doubt")
    kinds: dict[str, Kind | None] = {"sure": "features", "plain": "calibration", "bare": None}
    for name, kind in kinds.items():
        publish(folder / "models", name, kind)
    # at this coverage the set of 200 images has all labels
    arguments = ("--log-level", "warning", "--coverage", "0.999")
    models = str(folder / "models")
    with running(folder / "log", *arguments, "--repository", models) as server:
        yield server


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """A usual picture and a strange one."""
    spec = registry.architecture(ARCHITECTURE).input_for({})
    pixels = [trusted.familiar(7, 1, spec)[0], trusted.strange(1, spec)[0]]
    paths = [tmp_path / "usual.png", tmp_path / "strange.png"]
    for each, path in zip(pixels, paths, strict=True):
        trusted.image(each).save(path)
    return paths


def visit(page: Page, model: str) -> None:
    page.goto(f"/?model={model}")
    expect(page.locator("#facts")).not_to_be_empty()


def test_a_stranger_is_marked_in_words_and_said(page: Page, images: list[Path]) -> None:
    visit(page, "sure")
    upload(page, *images)
    strange = page.locator("#gallery li", has_text="strange.png")
    words = "unsure: unlike what it was trained on"
    expect(strange.locator(".unsure")).to_have_text(words)
    expect(page.locator("#result")).to_contain_text(words)
    button = strange.get_by_role("button", name=words)
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#inside .unsure")).to_have_text(words)
    expect(page.locator("#inside .top .quiet")).to_contain_text("Familiarity 0.00 of 1; ")


def test_an_ambiguous_answer_names_the_labels(page: Page, images: list[Path]) -> None:
    visit(page, "plain")
    upload(page, images[0])
    card = page.locator("#gallery li").first
    words = re.compile("unsure: between (even and odd|odd and even)")
    expect(card.locator(".unsure")).to_have_text(words)


def test_what_is_calibrated_opens_with_the_keyboard(page: Page) -> None:
    visit(page, "sure")
    page.locator("#reliance").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#reliance-words")).to_be_visible()
    expect(page.locator("#reliance-words")).to_contain_text("calibrated on 200 images")


def test_a_model_without_calibration_has_no_such_words(page: Page, images: list[Path]) -> None:
    visit(page, "bare")
    upload(page, images[1])
    expect(page.locator("#gallery .bars")).to_be_visible()
    expect(page.locator(".unsure")).to_have_count(0)
    expect(page.locator("#reliance")).to_have_text("Not calibrated")
