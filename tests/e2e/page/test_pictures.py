"""Pictures and what they are taken for: brought in every way, drawn, and compared."""

import re
from pathlib import Path

from playwright.sync_api import Page, Route, expect

from tests.e2e.page.visiting import OWL, PLANE, needs_chromium, upload, visit
from tests.e2e.servers import Server
from tests.networks import DATA

pytestmark = needs_chromium
BIRD, AIRPLANE = re.compile("^bird"), re.compile("^airplane")


def draw(page: Page, *strokes: tuple[float, float, float, float]) -> None:
    box = page.locator("#pad").bounding_box()
    assert box is not None
    for x1, y1, x2, y2 in strokes:
        page.mouse.move(box["x"] + x1 * box["width"], box["y"] + y1 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + x2 * box["width"], box["y"] + y2 * box["height"], steps=8)
        page.mouse.up()


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
