"""`explain` by class map: which label is where, in an image of any size."""

import json
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageOps

from models.checkpoint import names
from models.repository_paths import SHIPPED
from service import inspection
from service.inference import explanation
from tests import trusted
from tests.models.convolutional.test_class_map import collage, opened
from tests.networks import DATA, LABELS, encode, picture, png_of_size
from tests.service.conftest import Serve, starting
from tests.service.test_errors import problem
from tests.service.test_explain import only
from tests.service.test_kernels import publish
from tests.service.test_predict import parts

BIRD = DATA / "birds-vs-planes" / "bird-owl.png"
PLANE = DATA / "birds-vs-planes" / "airplane-747.png"


def ask(client: TestClient, *images: bytes, model: str = "colors", **params: Any) -> httpx.Response:
    answer: httpx.Response = client.post(
        f"/v1/models/{model}/explain",
        files=parts(*images),
        params={"method": "class-map", **params},
    )
    return answer


@pytest.fixture(scope="module")
def shipped() -> Iterator[TestClient]:
    with starting(SHIPPED) as serve:
        yield serve()


class TestCollage:
    def test_each_label_is_where_its_picture_is(self, shipped: TestClient) -> None:
        image = encode(collage([opened(BIRD), opened(PLANE)], columns=2))
        found = only(ask(shipped, image, model="birds-vs-planes", target="bird"))
        labels = found["map"]
        assert labels["shape"] == [1, 9]
        assert (labels["image"], labels["window"]) == ([32, 64], [32, 32])
        assert labels["step"] == [4, 4]
        airplane, bird = 0, 1
        assert (labels["winners"][0][0], labels["winners"][0][-1]) == (bird, airplane)
        assert found["shape"] == [32, 64]
        heat = np.array(found["values"])
        assert heat[16, 16] > 0.5 > heat[16, 48]
        shares = {each["label"]: each for each in labels["shares"]}
        assert sum(each["places"] for each in shares.values()) == 9
        assert shares["bird"]["best"][2] <= 0.75
        assert "note" not in found

    @pytest.mark.parametrize("upright", [False, True])
    def test_in_a_long_strip_too(self, shipped: TestClient, upright: bool) -> None:
        """What lies beside the longest side of photographs isn't seen in a smaller size."""
        strip = collage([opened(BIRD), opened(PLANE)] * 25, columns=1 if upright else 50)
        found = only(ask(shipped, encode(strip), model="birds-vs-planes", target="bird"))
        assert max(found["shape"]) == 1600
        heat = np.array(found["values"])
        middles = (heat.T if upright else heat)[16, 16::32]
        assert (middles[::2] > 0.5).all()
        assert (middles[1::2] < 0.5).all()

    def test_at_the_inputs_own_size_it_is_the_prediction(self, shipped: TestClient) -> None:
        """Of images that the network looks at twice, too."""
        noise = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)
        blurred = [Image.fromarray(each).resize((4, 4)).resize((32, 32)) for each in noise]
        answers = ask(shipped, *map(encode, blurred), model="birds-vs-planes").json()
        unsure = 0
        for found in answers["explanations"]:
            said, labels = found["prediction"], found["map"]
            assert labels["winners"] == [[["airplane", "bird"].index(said["label"])]]
            assert labels["scores"][0][0] == pytest.approx(said["score"], abs=1e-5)
            unsure += said["score"] < 0.9
        assert unsure

    def test_digits_are_not_framed_and_the_answer_says_so(self, shipped: TestClient) -> None:
        sheet = Image.new("L", (120, 60), 255)
        for number, at in ((3, (10, 10)), (7, (75, 20))):
            digit = Image.open(DATA / "digits" / f"{number}.png").convert("L")
            sheet.paste(Image.eval(digit, lambda level: 255 - level), at)
        found = only(ask(shipped, encode(sheet), model="mnist", step=2))
        assert "framing rule is not followed" in found["note"]
        assert "Light and dark are exchanged." in found["note"]
        winners = np.array(found["map"]["winners"])
        assert winners[8 // 2, 8 // 2] == 3  # a digit of 28 pixels in the window of 32
        assert winners[18 // 2, 73 // 2] == 7


class TestOwnSize:
    """An image of the size of the input is framed as for a prediction, and its map is that."""

    @pytest.mark.parametrize("model", names(SHIPPED))
    @pytest.mark.parametrize("kind", ["noise", "blot", "inverted blot"])
    def test_it_is_the_prediction(self, shipped: TestClient, model: str, kind: str) -> None:
        spec = shipped.get(f"/v1/models/{model}").json()["card"]["input"]
        size = spec["width"], spec["height"]
        image = picture(3, size)
        if kind != "noise":
            image = Image.new("L", size, 0)
            image.paste(230, (size[0] // 3, size[1] // 4, size[0] // 2, size[1] // 2))
        if kind == "inverted blot":
            image = ImageOps.invert(image)
        found = only(ask(shipped, encode(image), model=model))
        assert found["map"]["shape"] == [1, 1]
        heat = np.array(found["values"])
        np.testing.assert_allclose(heat, np.full(heat.shape, found["target"]["score"]), atol=1e-5)


class TestAnswer:
    def test_at_the_own_size_it_is_the_prediction(self, client: TestClient) -> None:
        found = only(ask(client, encode(picture(0)), target="green"))
        score = found["target"]["score"]
        assert found["map"]["shape"] == [1, 1]
        assert found["box"] == [0, 0, 1, 1]
        np.testing.assert_allclose(found["values"], np.full((8, 8), score), atol=1e-5)
        assert found["map"]["winners"] == [[LABELS.index(found["prediction"]["label"])]]

    def test_npz_has_the_probabilities_of_images_of_several_sizes(self, client: TestClient) -> None:
        images = [encode(picture(0, size)) for size in ((20, 12), (8, 8))]
        answer = ask(client, *images, format="npz", step=1)
        arrays = np.load(BytesIO(answer.content), allow_pickle=False)
        assert arrays["attributions/0"].shape == (12, 20)
        assert arrays["attributions/1"].shape == (8, 8)
        assert arrays["maps/0/probabilities"].shape == (3, 5, 13)
        np.testing.assert_allclose(arrays["maps/0/probabilities"].sum(0), 1, rtol=1e-5)
        assert arrays["maps/0/step"].tolist() == [1, 1]
        assert arrays["maps/1/probabilities"].shape == (3, 1, 1)

    @pytest.mark.parametrize("view", ["network", "original"])
    def test_a_picture_has_the_proportions_of_the_image(
        self, client: TestClient, view: str
    ) -> None:
        answer = ask(client, encode(picture(0, (80, 20))), format="png", view=view)
        assert answer.status_code == 200, answer.text
        width, height = Image.open(BytesIO(answer.content)).size
        assert width == 4 * height
        told = json.loads(answer.headers["X-Fanlight"])
        assert told["map"]["shape"] == [13, 73]
        assert told["box"] == [0, 0, 1, 1]
        assert "winners" not in told["map"]

    def test_a_large_photograph_is_made_smaller_and_a_small_image_enlarged(
        self, client: TestClient
    ) -> None:
        large = only(ask(client, encode(picture(0, (30, 20)).resize((3000, 2000)), "JPEG")))
        assert large["shape"] == [341, 512]
        assert "made smaller, from 3000 × 2000 to 512 × 341 pixels" in large["note"]
        small = only(ask(client, encode(picture(0, (6, 4)))))
        assert small["shape"] == [8, 12]
        assert "enlarged from 6 × 4 to 12 × 8 pixels" in small["note"]

    @pytest.mark.parametrize(
        ("size", "shape"),
        [((10_000, 1), None), ((1, 10_000), None), ((1, 1), [8, 8])],
    )
    def test_images_of_hostile_sizes(
        self, client: TestClient, size: tuple[int, int], shape: list[int] | None
    ) -> None:
        image = encode(Image.new("RGB", size, "red"))
        found = only(ask(client, image))
        assert min(found["shape"]) == 8
        assert found["shape"] == (shape or found["shape"])
        if shape is None:
            assert "Only the middle of the image" in found["note"]
            taken = max(found["shape"]) // 8  # of the image's pixels, each enlarged to 8
            length = re.search(r"from (\d+) × (\d+) to", found["note"])
            assert length is not None
            assert abs(max(map(int, length.groups())) - taken) <= 1
        for method in ("class-map", "saliency"):
            answer = ask(client, image, method=method, format="png", view="original")
            assert answer.status_code == 200, answer.text

    @pytest.mark.parametrize("format", ["PNG", "JPEG"])
    @pytest.mark.parametrize("upright", [False, True])
    def test_a_long_image_keeps_its_pixels(
        self, client: TestClient, format: str, upright: bool
    ) -> None:
        """What the command draws of a strip, in which the window has just room."""
        strip = picture(1, (200, 8)).resize((1600, 8), Image.Resampling.NEAREST)
        image = strip.transpose(Image.Transpose.ROTATE_90) if upright else strip
        encoded = encode(image, format, **({"quality": 95} if format == "JPEG" else {}))
        found = only(ask(client, encoded))
        assert found["shape"] == ([1600, 8] if upright else [8, 1600])
        assert "note" not in found

    def test_other_methods_tell_their_box(self, client: TestClient) -> None:
        found = only(ask(client, encode(picture(0, (16, 8))), method="saliency"))
        assert found["box"] == [0.25, 0, 0.75, 1]
        assert "map" not in found


class TestRefusals:
    @pytest.mark.parametrize("format", ["AVIF", "HEIF", "WEBP"])
    def test_broken_bytes_are_read_by_decoders_alone(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch, format: str
    ) -> None:
        read: list[bytes] = []
        monkeypatch.setattr(inspection, "upright_size", read.append)
        whole = encode(picture(0, (64, 64)), format)
        problem(ask(client, whole[: len(whole) // 2]), 422)
        assert not read

    @pytest.mark.parametrize(
        ("params", "words"),
        [
            ({"step": 0}, "invalid parameter: step"),
            ({"step": 5000}, "invalid parameter: step"),
            ({"stride": 2}, "no parameter of class-map 'stride'; did you mean 'step'?"),
            ({"target": "cyan"}, "the labels are: blue, green, red"),
        ],
        ids=str,
    )
    def test_parameters(self, client: TestClient, params: dict[str, Any], words: str) -> None:
        assert words in problem(ask(client, encode(picture(0)), **params), 422)["detail"]

    def test_a_step_that_would_cost_too_much(
        self, shipped: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        image = encode(picture(0, (48, 48)))
        monkeypatch.setattr("models.convolutional.class_map.MAX_SCORES", 60)
        detail = problem(ask(shipped, image, model="birds-vs-planes", step=2), 422)["detail"]
        assert "step 2 makes too many places of an image of 48 × 48 pixels" in detail
        assert detail.endswith("the step may be 4 or more")
        found = only(ask(shipped, image, model="birds-vs-planes", step=4))
        assert found["map"]["shape"] == [5, 5]

    def test_images_that_are_none(self, client: TestClient) -> None:
        assert problem(ask(client, b"nothing"), 422)
        assert problem(ask(client, png_of_size(60_000, 60_000)), 413)

    def test_networks_that_do_not_slide(self, serve: Serve, repository: Path) -> None:
        publish(repository, "mlp", hidden=[4])
        client = serve()
        detail = problem(ask(client, encode(picture(0)), model="mlp"), 422)["detail"]
        assert detail.startswith(
            "class-map needs a convolution over parts of the image, and mlp has none; methods"
        )
        assert "class-map" not in detail.split("methods that work:")[1]

    def test_work_that_nobody_waits_for_ends_in_the_middle(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loaded = client.app.state.repository.get("colors", None)  # type: ignore[attr-defined]
        model = loaded.checkpoint
        question = explanation.question(model, "class-map", {}, None)
        image = picture(0, (40, 40))
        calls = 0

        def check(_passes: int = 0, /) -> None:
            nonlocal calls
            calls += 1
            if calls == 4:
                raise explanation.AbandonedError

        pixels = model.card.input.array(image)
        with pytest.raises(explanation.AbandonedError):
            explanation.explain(loaded.explainer, [pixels], question, check)
        assert calls == 4


def test_openapi_lists_it(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    parameters = document["paths"]["/v1/models/{model}/explain"]["post"]["parameters"]
    by_name = {each["name"]: each for each in parameters}
    assert "class-map" in by_name["method"]["schema"]["enum"]
    assert by_name["step"]["schema"]["maximum"] == 4096
    assert "LabelMap" in document["components"]["schemas"]


def test_a_model_lists_it(client: TestClient) -> None:
    methods = client.get("/v1/models/colors").json()["explain_methods"]
    assert "class-map" in [each["name"] for each in methods]


def test_a_calibrated_model_maps_calibrated_probabilities(tmp_path: Path) -> None:
    trusted.publish_trusted(tmp_path)
    with starting(tmp_path) as serve:
        image = encode(trusted.image(trusted.familiar(7, 1)[0]))
        found = only(ask(serve(), image, model="sure"))
    assert trusted.load(tmp_path).card.calibration.temperature != 1  # type: ignore[union-attr]
    assert found["map"]["scores"][0][0] == pytest.approx(found["prediction"]["score"], abs=1e-5)
