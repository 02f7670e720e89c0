"""A picture looked into: layers, channels, the arithmetic of one value, heat maps."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Page, Route, expect
from torch.nn.functional import conv2d

from tests.e2e.page.visiting import (
    OWL,
    PLANE,
    hold,
    let_go,
    needs_chromium,
    opened,
    upload,
    visit,
)
from tests.models.convolutional.test_class_map import collage
from tests.models.convolutional.test_class_map import opened as opened_tile

pytestmark = needs_chromium


HELD = """
    const real = window.fetch;
    window.fetch = (target, options) => {
        if (!String(target).includes("method=occlusion")) return real(target, options);
        window.accepted = options.headers.get("Accept");
        const encoder = new TextEncoder();
        const body = new ReadableStream({
            start(controller) {
                window.push = text => controller.enqueue(encoder.encode(text));
                window.finish = () => controller.close();
                const abort = () => controller.error(options.signal.reason);
                options.signal.addEventListener("abort", abort);
            },
        });
        return Promise.resolve(new Response(body));
    };
"""
"""Occlusion is answered by the test, line by line: `push` and `finish`."""


class TestLongOnes:
    @pytest.fixture
    def held(self, page: Page) -> Page:
        page.add_init_script(HELD)
        opened(page)
        page.locator("#method").select_option("occlusion")
        return page

    @pytest.mark.thorough
    def test_how_far_it_is_is_shown(self, held: Page) -> None:
        waiting, bar = held.locator(".waiting"), held.locator(".waiting progress")
        said = waiting.get_by_role("status")
        expect(said).to_have_text("Making the heat map …")
        assert held.evaluate("window.accepted") == "application/x-ndjson"
        held.evaluate("""push('{"done": 30, "of": 100}\\n{"done": 6')""")
        expect(said).to_have_text("Making the heat map: 25 %")
        assert bar.evaluate("bar => bar.value") == pytest.approx(0.3)
        held.evaluate("""push('0, "of": 100}\\n')""")
        expect(said).to_have_text("Making the heat map: 50 %")
        end = {"target": {"label": "bird", "score": 1}, "min": 0, "max": 1, "values": [[0, 1]]}
        end["box"] = [0, 0, 1, 1]
        held.evaluate(
            "end => { push(JSON.stringify(end) + '\\n'); finish(); }", {"explanations": [end]}
        )
        expect(waiting).to_be_hidden()
        expect(held.locator("figcaption").first).to_contain_text("it counts for “bird”")

    def test_it_can_be_cancelled_by_keys_and_asked_for_again(self, held: Page) -> None:
        button = held.locator(".waiting").get_by_role("button")
        expect(button).to_have_text("Cancel")
        button.focus()
        held.keyboard.press("Enter")
        expect(held.locator(".waiting").get_by_role("status")).to_have_text(
            "The heat map was cancelled."
        )
        expect(held.locator(".waiting progress")).to_be_hidden()
        expect(held.locator(".answer .legend i")).to_have_count(0)  # that of another method
        expect(button).to_have_text("Make the heat map")
        expect(button).to_be_focused()
        held.keyboard.press("Enter")
        expect(button).to_have_text("Cancel")
        held.locator("#method").select_option("grad-cam")  # ran once already, so it is quick
        expect(held.locator(".waiting")).to_be_hidden()
        expect(held.locator(".answer .legend i")).to_have_count(1)

    def test_an_answer_that_breaks_off_is_no_heat_map(self, held: Page) -> None:
        held.evaluate("""push('{"done": 30, "of": 100}\\n{"expl'); finish()""")
        expect(held.locator(".answer .error")).to_have_text(
            "Broken off: the answer has no end; try again"
        )
        expect(held.locator(".waiting")).to_be_hidden()

    def test_it_fits_on_a_phone(self, held: Page) -> None:
        held.set_viewport_size({"width": 320, "height": 640})
        expect(held.locator(".waiting").get_by_role("button")).to_be_visible()
        wide = held.evaluate("document.documentElement.scrollWidth")
        assert wide <= 320


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

    def test_a_layer_that_comes_late_does_not_replace_a_newer_one(self, page: Page) -> None:
        opened(page)
        hold(page, "layer=stem")
        page.locator(".node[data-layer='stem']").click()
        page.locator(".node[data-layer='relu']").click()
        expect(page.locator("#layer h3")).to_contain_text("relu: ReLU")
        let_go(page)
        expect(page.locator("#layer h3")).to_contain_text("relu: ReLU")

    def test_a_layer_tells_what_it_sees(self, page: Page) -> None:
        opened(page)
        first = page.locator("#network [data-layer=stem] .level")
        expect(first).to_have_text("low level: sees 2×2 pixels")
        last = page.locator("#network .level").last
        expect(last).to_have_text("high level: sees 32×32 pixels")

    def test_why_levels_are_missing_is_told(self, page: Page) -> None:
        answer = {"layers": [], "note": "not today"}
        page.route("**/receptive-fields*", lambda route: route.fulfill(json=answer))
        opened(page)
        expect(page.locator("#unmeasured")).to_have_text("No levels: not today")
        page.locator("#model").select_option("birds-vs-planes-batchnorm")
        page.unroute("**/receptive-fields*")
        page.locator("#model").select_option("birds-vs-planes")
        expect(page.locator("#network [data-layer=stem] .level")).to_contain_text("2×2 pixels")
        expect(page.locator("#unmeasured")).to_be_hidden()

    def test_blocks_are_opened_as_layers_are(self, page: Page) -> None:
        """A block gives what its last layer gives: its values have the same colours."""
        opened(page)
        block = page.locator("#blocks [data-layer='blocks.0']")
        expect(block.locator(".level")).to_contain_text("level: sees")
        block.click()
        expect(page.locator("#layer h3")).to_contain_text("blocks.0: ")
        expect(page.locator(".channel")).to_have_count(32)
        page.get_by_role("button", name="channel 3", exact=True).click()
        expect(page.locator("#pixel h3")).to_have_text("One value of blocks.0, channel 3")
        expect(page.locator("#value")).to_contain_text("the value is")
        expect(page).to_have_url(re.compile(r"layer=blocks\.0&channel=3$"))
        page.locator("#model").select_option("mnist-cnn")
        expect(page.locator("#network .node")).not_to_have_count(0)
        expect(page.locator("#blocks [data-layer='blocks.0']")).to_have_count(0)

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
                const { convolve } = await import("/static/playground/inside/arithmetic.js");
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

    def test_a_class_map_lies_over_the_whole_picture(self, page: Page, tmp_path: Path) -> None:
        """Also where the network gets the middle of it alone."""
        wide = tmp_path / "wide.png"
        collage([opened_tile(OWL), opened_tile(PLANE), opened_tile(PLANE)], 3).save(wide)
        visit(page)
        upload(page, wide)
        expect(page.locator(".legend i").first).to_be_visible()
        page.locator("#method").focus()
        page.locator("#method").select_option("class-map")
        page.locator("#target").select_option("airplane")
        caption = page.locator("figcaption").first
        expect(caption).to_contain_text("the more probable is “airplane”")
        expect(caption).to_contain_text("Of 17 places in the whole picture, the network sees")
        canvas = page.locator(".answer canvas").first
        width, height = canvas.evaluate("canvas => [canvas.width, canvas.height]")
        assert (width, height) == (288, 96)
        page.locator("#opacity").fill("100")
        bird, plane = canvas.evaluate(
            """canvas => [48, 240].map(x =>
                [...canvas.getContext("2d").getImageData(x, 48, 1, 1).data])"""
        )
        red = (178, 24, 43)
        off_bird, off_plane = (
            sum(abs(a - b) for a, b in zip(pixel, red, strict=False)) for pixel in (bird, plane)
        )
        assert off_plane < 30 < off_bird

    def test_the_methods_are_those_that_the_service_tells(self, page: Page) -> None:
        """A method that the service gains is in the menu, without a change of the page."""
        methods = [
            {"name": "saliency", "title": "Saliency", "description": "gradient of the score"},
            {"name": "toy", "title": "A toy", "description": "nothing yet"},
        ]

        def told(route: Route) -> None:
            route.fulfill(json=route.fetch().json() | {"explain_methods": methods})

        page.route(re.compile(r"/v1/models/birds-vs-planes(\?.*)?$"), told)
        opened(page)
        options = page.locator("#method option")
        expect(options).to_have_text(["Saliency", "A toy"])
        expect(options.last).to_have_attribute("title", "nothing yet")
        expect(page.locator("#method")).to_have_value("saliency")  # Grad-CAM is not offered

    def test_two_models_side_by_side(self, page: Page) -> None:
        opened(page)
        page.locator("#compare").select_option("birds-vs-planes-batchnorm")
        expect(page.locator(".answer")).to_have_count(2)
        expect(page.locator(".answer .legend i")).to_have_count(2)
        expect(page.locator(".answer h3").last).to_contain_text("birds-vs-planes-batchnorm says")

    def test_a_picture_that_comes_before_the_model(self, page: Page) -> None:
        held: list[Route] = []
        page.route("**/v1/models/birds-vs-planes*", lambda route: held.append(route))
        with page.expect_request("**/v1/models/birds-vs-planes*"):
            page.goto("/?layer=relu&channel=2")
        upload(page, OWL)
        expect(page.locator("#gallery li")).to_have_count(1)
        expect(page.locator("#inside")).to_be_hidden()
        held[0].continue_()
        expect(page.locator("#pixel h3")).to_have_text("One value of relu, channel 2")

    def test_a_picture_that_is_being_classified_when_the_model_changes(self, page: Page) -> None:
        held: list[Route] = []  # never answered
        page.route("**/birds-vs-planes/predict?*", lambda route: held.append(route))
        visit(page)
        with page.expect_request("**/predict?*"):
            upload(page, OWL)
        page.locator("#model").select_option("birds-vs-planes-batchnorm")
        expect(page.locator("#inside-title")).to_contain_text("bird-owl.png")
        expect(page.locator(".answer h3")).to_contain_text("birds-vs-planes-batchnorm says")

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
