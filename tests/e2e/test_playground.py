"""The page at `/`, as people use it: in a browser, by pointer and by keyboard."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright
from torch.nn.functional import conv2d

import service
from tests.e2e.servers import Server, running
from tests.networks import DATA

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
STATIC = Path(service.__file__).parent / "static"
OWL, PLANE = (DATA / "birds-vs-planes" / f"{name}.png" for name in ("bird-owl", "airplane-747"))
BIRD, AIRPLANE = re.compile("^bird"), re.compile("^airplane")
# a camera that shows a test picture, and nobody who would have to allow it
FLAGS = ("--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
SLOW = 20_000  # milliseconds that a loaded machine may take

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("page") / "log", "--log-level", "warning") as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
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

    def test_something_pasted_is_taken(self, page: Page) -> None:
        visit(page, "?model=xo")
        page.locator(".sample canvas").last.evaluate(
            """canvas => canvas.toBlob(blob => {
                const data = new DataTransfer();
                data.items.add(new File([blob], "pasted.png", { type: "image/png" }));
                dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
            })"""
        )
        expect(page.locator(".picture")).to_contain_text("pasted.png")
        expect(page.locator(".picture strong")).to_have_text(re.compile("^circles"))

    def test_the_webcam_gives_a_picture(self, page: Page) -> None:
        visit(page)
        page.get_by_role("button", name="Use the webcam").click()
        page.get_by_role("button", name="Take a picture").click()
        expect(page.locator(".picture strong")).to_be_visible()
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#video")).to_be_hidden()

    def test_one_that_comes_before_the_model_is_known_waits(self, page: Page) -> None:
        held: list[Route] = []
        page.route("**/v1/models", lambda route: held.append(route))
        page.goto("/")
        upload(page, OWL)
        expect(page.locator(".picture")).to_contain_text("bird-owl.png")
        held[0].continue_()
        expect(page.locator(".picture strong")).to_have_text(BIRD)
        upload(page, PLANE)
        expect(page.locator(".picture strong")).to_have_text([AIRPLANE, BIRD])

    def test_at_most_200_are_kept(self, page: Page) -> None:
        visit(page, "?model=mnist-cnn")
        upload(page, *[DATA / "digits" / "7.png"] * 201)
        expect(page.locator(".picture strong")).to_have_count(200)
        expect(page.locator("#notice")).to_contain_text("At most 200 pictures")
        page.get_by_role("button", name="Remove all").click()
        expect(page.locator(".picture")).to_have_count(0)
        expect(page.locator("#empty")).to_be_visible()

    def test_a_drawing_suits_the_model(self, page: Page) -> None:
        """Crosses are dark on light, digits light on dark; colour models keep the pad folded."""
        visit(page)
        expect(page.locator("#pad")).to_be_hidden()
        page.locator("#model").select_option("xo")
        expect(page.locator("#pad")).to_be_visible()
        draw(page, (0.5, 0.15, 0.5, 0.85))
        expect(page.locator(".picture strong")).to_be_visible()
        expect(page.locator("#dark")).not_to_be_checked()
        page.locator("#model").select_option("mnist")
        expect(page.locator("#dark")).to_be_checked()
        expect(page.locator(".picture strong")).to_have_text(re.compile(r"^1 \d"))
        page.get_by_role("button", name="Undo").click()
        colours = "pad => new Set(pad.getContext('2d').getImageData(0, 0, 280, 280).data).size"
        assert page.locator("#pad").evaluate(colours) == 2  # 0 and the opacity, 255

    def test_a_drawing_can_be_saved(self, page: Page) -> None:
        """The copied command names a file, which a drawing is not yet."""
        visit(page, "?model=xo")
        page.get_by_role("button", name="a cross").click()
        with page.expect_download() as saved:
            page.get_by_role("link", name="Save picture").click()
        assert saved.value.suggested_filename == "a cross.png"

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

    def test_the_last_layer_by_class(self, page: Page) -> None:
        visit(page, "?model=mnist-cnn&layer=out")
        page.get_by_role("button", name="a seven").click()
        values = page.locator("#layer .bars li")
        expect(values).to_have_count(10)
        logits = [float(text.split()[1]) for text in values.all_inner_texts()]
        assert max(logits) == logits[7]
        expect(page.locator(".templates")).to_be_visible()

    def test_a_channel_keeps_the_focus_and_closes_again(self, page: Page) -> None:
        opened(page, "?layer=stem")
        channel = page.get_by_role("button", name="channel 3", exact=True)
        channel.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.locator("#pixel h3")).to_have_text("One value of stem, channel 4")
        expect(page.get_by_role("button", name="channel 4", exact=True)).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#pixel")).to_be_hidden()

    @pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
    @pytest.mark.parametrize(
        "options",
        [
            {"stride": (2, 1), "padding": (1, 2)},
            {"padding": (2, 2), "dilation": (2, 1)},
            {"groups": 2},
            {"padding": "same", "dilation": (1, 2)},
            {"padding": "valid"},
        ],
    )
    def test_convolutions_are_those_of_torch(self, page: Page, options: dict[str, Any]) -> None:
        generator = torch.Generator().manual_seed(0)
        input = torch.randn(4, 7, 8, generator=generator)
        weight = torch.randn(6, 4 // options.get("groups", 1), 2, 3, generator=generator)
        expected = conv2d(input[None], weight, torch.full((6,), 0.5), **options)[0]
        parameters = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
        page.goto("/")
        found = page.evaluate(
            """async ({ input, weight, parameters, height, width }) => {
                const { convolve } = await import("/static/playground/arithmetic.js");
                const sum = (kernel, channel, x, y) =>
                    convolve(input, { kernel, bias: 0.5 }, parameters, channel, 6, x, y).total;
                return weight.map((kernel, c) => Array.from({ length: height }, (_, y) =>
                    Array.from({ length: width }, (_, x) => sum(kernel, c, x, y))));
            }""",
            {
                "input": input.tolist(),
                "weight": weight.tolist(),
                "parameters": parameters | options,
                "height": expected.shape[1],
                "width": expected.shape[2],
            },
        )
        torch.testing.assert_close(torch.tensor(found), expected, atol=1e-5, rtol=1e-5)

    def test_a_sum_that_no_layer_gives_is_not_made_up(self, page: Page) -> None:
        """What feeds a convolution may be a sum of layers, from none of which its values follow."""

        def another(route: Route) -> None:
            answer = route.fetch().json()
            answer["bias"] = [100.0]
            route.fulfill(json=answer)

        page.route("**/kernels/*?*values=true*", another)
        opened(page, "?layer=blocks.0.conv1&channel=5")
        expect(page.locator("#pixel")).to_contain_text("the sum can't be shown. Its kernel:")
        expect(page.locator("#pixel .numbers")).to_have_count(8)
        expect(page.locator("#value")).to_contain_text("the value is")

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

    def test_layers_by_keyboard(self, page: Page) -> None:
        """The row is one stop for the tab key, with arrows between the layers."""
        opened(page)
        page.locator(".node[data-layer='stem']").focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator(".node[data-layer='relu']")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#layer h3")).to_contain_text("relu: ReLU")
        expect(page.locator(".node[data-layer='relu']")).to_be_focused()
        page.keyboard.press("End")
        expect(page.locator(".node[data-layer='fc']")).to_be_focused()
        page.keyboard.press("Tab")
        assert not page.evaluate("document.activeElement.matches('.node')")

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

    def test_a_service_that_is_busy_is_asked_once_more(self, page: Page) -> None:
        visit(page)
        asked: list[str] = []

        def busy(route: Route) -> None:
            asked.append(route.request.url)
            problem = '{"title": "Queue full", "detail": "come again"}'
            route.fulfill(status=429, headers={"Retry-After": "1"}, body=problem)

        page.route("**/predict?*", busy)
        upload(page, OWL)
        expect(page.locator(".picture .error")).to_have_text("Queue full: come again")
        expect(page.locator("#notice")).to_have_text("Queue full: come again")
        assert len(asked) == 2

    def test_an_address_that_makes_no_sense(self, page: Page) -> None:
        opened(page, "?model=no&version=x&compare=no&method=no&target=no&layer=no&channel=no")
        expect(page.locator("#model")).to_have_value("birds-vs-planes")
        expect(page.locator("#method")).to_have_value("grad-cam")
        expect(page.locator("#notice")).to_be_hidden()

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
