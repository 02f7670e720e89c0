"""Labels of any script and length on the page: whole in a title, and nothing is pushed aside."""

from collections.abc import Iterator

import pytest
import torch
from playwright.sync_api import Page, expect

from models import checkpoint
from models.architectures import registry
from models.preprocessing import InputSpec
from service.app import create_app
from service.settings import Settings
from tests.cases import one_in
from tests.e2e.page.visiting import needs_chromium, opened
from tests.e2e.servers import in_thread

pytestmark = [pytest.mark.slow, needs_chromium]
LABELS = (
    "猫和狗",
    "قطة جميلة (1)",
    "חתול",
    "👨\u200d👩\u200d👧 🐱",
    "x" * 300,
    "猫" * 300,
    r"$x_1$ \frac <b>",
    "बिल्ली",
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("labels")
    torch.manual_seed(0)
    network = registry.architecture("birdplane-batchnorm").build(len(LABELS))
    checkpoint.publish(
        folder,
        network,
        name="labels",
        architecture="birdplane-batchnorm",
        labels=LABELS,
        input=InputSpec(
            channels=3, height=32, width=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
        ),
    )
    with in_thread(create_app(Settings(repository=folder, device="cpu"))) as url:
        yield url


@pytest.mark.parametrize(
    "window", one_in(4, [(360, "dark"), (360, "light"), (1280, "dark"), (1280, "light")])
)
def test_every_label_can_be_read(page: Page, window: tuple[int, str]) -> None:
    width, scheme = window
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    opened(page)
    bars = page.locator("#answers .bars bdi")
    expect(bars).to_have_count(5)
    for bar in bars.all():
        text = bar.text_content()
        assert text in LABELS
        assert bar.get_attribute("title") == text
        box = bar.bounding_box()
        assert box is not None
        assert box["height"] < 60  # pixels: two lines
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    titles = page.locator("option").evaluate_all("all => all.map(each => each.title)")
    assert set(LABELS) <= set(titles)
