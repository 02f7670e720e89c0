"""The page at `/`, as people use it: in a browser, by pointer and by keyboard."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

import service
from tests.e2e.servers import Server, running
from tests.networks import DATA

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
STATIC = Path(service.__file__).parent / "static"
OWL, PLANE = (DATA / "birds-vs-planes" / f"{name}.png" for name in ("bird-owl", "airplane-747"))
BIRD, AIRPLANE = re.compile("^bird"), re.compile("^airplane")
SLOW = 20_000  # milliseconds that a loaded machine may take

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("page") / "log", "--log-level", "warning") as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """The page; whatever it complains about, or asks of another host, fails the test."""
    context = browser.new_context(base_url=server.url, viewport={"width": 1280, "height": 900})
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
            if request.url.startswith((server.url, "data:", "blob:"))
            else problems.append(request.url)
        ),
    )
    yield page
    context.close()
    refused = re.compile("Failed to load resource: the server responded with a status of 4")
    assert [line for line in problems if not refused.match(line)] == []


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


def draw(page: Page, *strokes: tuple[float, float, float, float]) -> None:
    box = page.locator("#pad").bounding_box()
    assert box is not None
    for x1, y1, x2, y2 in strokes:
        page.mouse.move(box["x"] + x1 * box["width"], box["y"] + y1 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + x2 * box["width"], box["y"] + y2 * box["height"], steps=8)
        page.mouse.up()


def serious(page: Page) -> list[str]:
    """What axe finds wrong that keeps people out."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {[node['html'] for node in each['nodes']]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


class TestPictures:
    def test_an_upload_is_classified(self, page: Page) -> None:
        visit(page)
        upload(page, OWL, PLANE)
        expect(page.locator(".picture strong")).to_have_text(
            [re.compile("^bird"), re.compile("^airplane")]
        )
        expect(page.locator("#timing")).to_contain_text("2 pictures in")
        expect(page.locator("#timing")).to_contain_text("in a batch of 2")

    def test_a_sample_is_one_click_away(self, page: Page) -> None:
        visit(page, "?model=mnist")
        page.get_by_role("button", name="a seven").click()
        expect(page.locator(".picture strong")).to_have_text(re.compile(r"^7 \d"))

    def test_a_cross_is_drawn(self, page: Page) -> None:
        visit(page, "?model=xo")
        draw(page, (0.2, 0.2, 0.8, 0.8), (0.8, 0.2, 0.2, 0.8))
        expect(page.locator(".picture strong")).to_have_text(re.compile("^crosses"))
        page.get_by_role("button", name="Clear").click()
        draw(
            page,
            (0.5, 0.2, 0.2, 0.5),
            (0.2, 0.5, 0.5, 0.8),
            (0.5, 0.8, 0.8, 0.5),
            (0.8, 0.5, 0.5, 0.2),
        )
        expect(page.locator(".picture strong")).to_have_text(re.compile("^circles"))

    def test_a_broken_file_is_told_and_harms_no_other(self, page: Page, tmp_path: Path) -> None:
        broken = tmp_path / "broken.png"
        broken.write_bytes(OWL.read_bytes()[:500])
        visit(page)
        upload(page, OWL, broken, PLANE)
        expect(page.locator(".picture strong")).to_have_count(2)
        expect(page.locator(".picture .error")).to_contain_text("corrupt or truncated")

    def test_something_dropped_is_taken(self, page: Page) -> None:
        visit(page, "?model=xo")
        page.locator(".sample canvas").first.evaluate(
            """canvas => canvas.toBlob(blob => {
                const data = new DataTransfer();
                data.items.add(new File([blob], "dropped.png", { type: "image/png" }));
                dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
            })"""
        )
        expect(page.locator(".picture")).to_contain_text("dropped.png")
        expect(page.locator(".picture strong")).to_have_text(re.compile("^crosses"))

    def test_another_model_classifies_them_anew(self, page: Page) -> None:
        visit(page, "?model=mnist")
        page.get_by_role("button", name="a zero").click()
        expect(page.locator(".picture strong")).to_have_text(re.compile(r"^0 \d"))
        page.locator("#model").select_option("xo")
        expect(page.locator(".picture strong")).to_have_text(re.compile("^circles"))

    def test_commands_that_ask_again(self, page: Page, server: Server) -> None:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit(page)
        upload(page, OWL)
        page.get_by_role("button", name="Copy as curl").click()
        expect(page.locator("#copied")).to_have_text("curl command copied")
        copied = page.evaluate("navigator.clipboard.readText()")
        target = f"{server.url}/v1/models/birds-vs-planes/predict?top_k=5"
        assert copied == f"""curl -F 'images=@"bird-owl.png"' '{target}'"""
        page.get_by_role("button", name="Copy as Python").click()
        expect(page.locator("#copied")).to_have_text("Python copied")
        compile(page.evaluate("navigator.clipboard.readText()"), "copied", "exec")


class TestInside:
    def test_a_layer_and_a_value(self, page: Page) -> None:
        """The arithmetic that the page shows is that of the network."""
        opened(page)
        page.locator(".node[data-layer='blocks.0.conv1']").click()
        expect(page.locator(".channel")).to_have_count(32)
        page.get_by_role("button", name="channel 3", exact=True).click()
        value = page.locator("#value")
        expect(value).to_contain_text("the layer says")
        for key in ("ArrowLeft", "ArrowUp", "ArrowUp"):
            page.locator("#pixel canvas").press(key)
        expect(value).to_contain_text("column 14, row 13")
        told = re.search(r"is (-?[\d.]+); the layer says (-?[\d.]+)\.$", value.inner_text())
        assert told is not None
        assert float(told[1]) == pytest.approx(float(told[2]), abs=0.002)
        expect(page.locator(".patch")).to_have_count(8)
        terms = [line.split("= ")[1] for line in page.locator(".term").all_inner_texts()]
        *parts, total = map(float, terms)
        assert sum(parts) == pytest.approx(total, abs=0.006)  # ten roundings
        assert total == float(told[1])

    def test_the_first_layer_takes_the_picture(self, page: Page) -> None:
        opened(page, "?layer=stem&channel=1")
        expect(page.locator("#pixel")).to_contain_text("Patch of the picture × kernel")
        names = page.locator(".patch > span:first-child").all_inner_texts()
        assert sorted(names) == ["blue", "green", "red"]

    def test_weights_of_the_last_layer(self, page: Page) -> None:
        visit(page, "?model=mnist-cnn&layer=out")
        page.get_by_role("button", name="a seven").click()
        expect(page.locator(".templates")).to_be_visible()

    def test_the_heat_fades(self, page: Page) -> None:
        opened(page)
        canvas = page.locator(".answer canvas").first
        shown = [canvas.evaluate("canvas => canvas.toDataURL()")]
        for strength in ("0", "100"):
            page.locator("#opacity").fill(strength)
            shown.append(canvas.evaluate("canvas => canvas.toDataURL()"))
        assert len(set(shown)) == 3

    @pytest.mark.parametrize("method", ["saliency", "integrated-gradients", "occlusion"])
    def test_other_methods_and_classes(self, page: Page, method: str) -> None:
        opened(page)
        page.locator("#method").select_option(method)
        page.locator("#target").select_option("airplane")
        expect(page.locator("figcaption").first).to_contain_text("“airplane”")
        if method == "integrated-gradients":
            expect(page.locator("figcaption").first).to_contain_text("Convergence delta")

    def test_two_models_side_by_side(self, page: Page) -> None:
        opened(page)
        page.locator("#compare").select_option("birds-vs-planes-batchnorm")
        expect(page.locator(".answer")).to_have_count(2)
        expect(page.locator(".answer .legend i")).to_have_count(2)
        expect(page.locator(".answer h3").last).to_contain_text("birds-vs-planes-batchnorm says")

    def test_a_view_is_in_the_address(self, page: Page) -> None:
        opened(page)
        page.locator(".node[data-layer='relu']").click()
        page.get_by_role("button", name="channel 2", exact=True).click()
        page.locator("#method").select_option("occlusion")
        expect(page).to_have_url(
            re.compile(r"layer=relu&channel=2$|method=occlusion&layer=relu&channel=2$")
        )
        page.reload()
        upload(page, OWL)
        expect(page.locator("#pixel h3")).to_have_text("One value of relu, channel 2")
        expect(page.locator("#method")).to_have_value("occlusion")
        page.go_back()
        expect(page.locator("#method")).not_to_have_value("occlusion")


class TestEverybody:
    def test_by_keyboard_alone(self, page: Page) -> None:
        visit(page)
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.className") == "sample":
                break
        page.keyboard.press("Enter")
        expect(page.locator(".picture strong")).to_be_visible()
        expect(page.locator("#inside")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#inside")).to_be_hidden()
        expect(page.locator(".picture")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#inside-title")).to_be_focused()

    def test_drawing_by_keyboard(self, page: Page) -> None:
        visit(page, "?model=mnist")
        page.locator("#pad").focus()
        for key, times in (("ArrowUp", 10), (" ", 1), ("ArrowDown", 20), (" ", 1)):
            for _ in range(times):
                page.keyboard.press(key)
        expect(page.locator(".picture strong")).to_have_text(re.compile(r"^1 \d"))

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_axe_finds_nothing_serious(self, page: Page, scheme: str) -> None:
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        visit(page, "?model=xo")
        assert serious(page) == []
        opened(page, "?layer=blocks.0.conv1&channel=0")
        expect(page.locator("#value")).to_be_visible()
        assert serious(page) == []

    def test_a_phone_needs_no_sideways_scrolling(self, page: Page) -> None:
        page.set_viewport_size({"width": 360, "height": 740})
        opened(page, "?layer=blocks.0.conv1&channel=0")
        expect(page.locator("#value")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360

    def test_a_key_is_asked_for(self, browser: Browser, tmp_path: Path) -> None:
        with running(tmp_path / "log", "--api-key", "sesame") as secured:
            page = browser.new_page(base_url=secured.url)
            page.goto("/")
            page.get_by_label("API key").fill("sesame")
            page.get_by_role("button", name="Use it").click()
            expect(page.locator(".sample").first).to_be_visible(timeout=SLOW)
            page.close()

    def test_a_service_that_went_away(self, browser: Browser, tmp_path: Path) -> None:
        with running(tmp_path / "log") as server:
            page = browser.new_page(base_url=server.url)
            visit(page)
        upload(page, OWL)
        expect(page.locator("#notice")).to_contain_text(
            "the service can't be reached", timeout=SLOW
        )
        page.close()

    def test_it_is_small(self) -> None:
        files = [
            STATIC / "index.html",
            STATIC / "playground.css",
            *(STATIC / "playground").iterdir(),
        ]
        assert sum(file.stat().st_size for file in files) < 100_000
