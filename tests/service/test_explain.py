"""`explain` answers with captum's own attributions."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
import torch
from captum import attr
from fastapi.testclient import TestClient
from PIL import Image
from pydantic import Field, ValidationError, create_model

from models import checkpoint
from models.checkpoint import Checkpoint
from service.inference import explanation
from service.inference.explain_methods import method as methods
from service.inference.explain_methods import occlusion
from service.inference.explain_methods.method import METHODS
from service.inference.explainer import Explainer
from service.requests import parameters
from tests.hooks import hooks
from tests.networks import LABELS, SPEC, encode, picture
from tests.service.conftest import Serve
from tests.service.connections import PREDICT
from tests.service.test_errors import problem
from tests.service.test_kernels import publish
from tests.service.test_predict import parts
from tests.waiting import until

IMAGE = encode(picture(0))
NAMES = METHODS.names()


def ask(client: TestClient, *images: bytes, model: str = "colors", **params: Any) -> httpx.Response:
    url = f"/v1/models/{model}/explain"
    params = {"method": "saliency", **params}
    answer: httpx.Response = client.post(url, files=parts(*(images or (IMAGE,))), params=params)
    return answer


def only(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    [found] = answer.json()["explanations"]
    return dict(found)


@pytest.fixture
def plain(repository: Path) -> Checkpoint:
    return checkpoint.load(repository / "colors" / "2", torch.device("cpu"))


@pytest.fixture
def batch() -> torch.Tensor:
    return SPEC.normalize(SPEC.pixels(picture(0)).unsqueeze(0)).requires_grad_()


class TestOracle:
    """The same arithmetic by captum alone, on the network itself."""

    def test_saliency(self, client: TestClient, plain: Checkpoint, batch: torch.Tensor) -> None:
        expected = attr.Saliency(plain.network).attribute(batch, target=1)[0].amax(0)
        found = only(ask(client, target="green"))
        torch.testing.assert_close(torch.tensor(found["values"]), expected)
        assert found["shape"] == [8, 8]
        assert found["max"] == pytest.approx(expected.max().item())

    def test_integrated_gradients(
        self, client: TestClient, plain: Checkpoint, batch: torch.Tensor
    ) -> None:
        white = SPEC.normalize(torch.full((1, 3, 8, 8), 255, dtype=torch.uint8))
        expected, delta = attr.IntegratedGradients(plain.network).attribute(
            batch, baselines=white, target=2, n_steps=20, return_convergence_delta=True
        )
        found = only(
            ask(client, method="integrated-gradients", target="2", steps=20, baseline="white")
        )
        torch.testing.assert_close(
            torch.tensor(found["values"]), expected[0].sum(0).float(), atol=1e-5, rtol=1e-4
        )
        assert found["convergence_delta"] == pytest.approx(delta.item(), abs=1e-4)

    def test_occlusion(self, client: TestClient, plain: Checkpoint, batch: torch.Tensor) -> None:
        black = SPEC.normalize(torch.zeros((1, 3, 8, 8), dtype=torch.uint8))
        expected = attr.Occlusion(plain.network).attribute(
            batch, (3, 3, 3), strides=(3, 2, 2), baselines=black, target=0
        )
        found = only(ask(client, method="occlusion", target="blue", window=3, stride=2))
        torch.testing.assert_close(
            torch.tensor(found["values"]), expected[0, 0].detach(), atol=1e-5, rtol=1e-4
        )

    def test_windows_of_a_large_network_do_not_overlap(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(occlusion, "WINDOWS_ACROSS", 2)
        small = only(ask(client, method="occlusion", target="blue"))
        monkeypatch.setattr(occlusion, "MAX_OVERLAPPING_MULTIPLY_ADDS", 0)
        large = only(ask(client, method="occlusion", target="blue"))
        for found, stride in ((small, 2), (large, 4)):
            said = only(ask(client, method="occlusion", target="blue", window=4, stride=stride))
            assert found["values"] == said["values"]
        assert small["values"] != large["values"]

    @pytest.mark.parametrize("layer", ["conv", "relu"])
    def test_grad_cam(
        self, client: TestClient, plain: Checkpoint, batch: torch.Tensor, layer: str
    ) -> None:
        module = plain.network.get_submodule(layer)
        maps = attr.LayerGradCam(plain.network, module).attribute(
            batch, target=1, relu_attributions=True
        )
        answer = ask(client, method="grad-cam", target="green", layer=layer)
        expected = attr.LayerAttribution.interpolate(maps, (8, 8), "bilinear")
        torch.testing.assert_close(torch.tensor(only(answer)["values"]), expected[0, 0].detach())
        assert answer.json()["layer"] == layer


class TestAnswer:
    @pytest.mark.parametrize("method", NAMES)
    def test_the_predicted_class_is_explained(self, client: TestClient, method: str) -> None:
        predicted = client.post(PREDICT, files=parts(IMAGE)).json()["predictions"][0]
        found = only(ask(client, method=method))
        assert found["prediction"]["label"] == predicted["label"]
        assert found["target"]["label"] == predicted["label"]
        assert found["target"]["index"] == LABELS.index(predicted["label"])
        assert found["target"]["score"] == pytest.approx(predicted["score"], abs=1e-6)
        assert ("convergence_delta" in found) == (method == "integrated-gradients")

    @pytest.mark.parametrize("target", [{"target": "red"}, {}], ids=str)
    @pytest.mark.parametrize("method", NAMES)
    def test_many_images_in_their_order(
        self, client: TestClient, method: str, target: dict[str, str]
    ) -> None:
        """They share batches, and each gets its own answer."""
        images = [encode(picture(seed)) for seed in range(5)]
        found = ask(client, *images, method=method, **target).json()["explanations"]
        for image, each in zip(images, found, strict=True):
            alone = only(ask(client, image, method=method, **target))
            assert each["target"]["label"] == alone["target"]["label"]
            assert each["prediction"]["score"] == pytest.approx(alone["prediction"]["score"])
            np.testing.assert_allclose(each["values"], alone["values"], atol=1e-6)

    def test_npz(self, client: TestClient) -> None:
        images = [encode(picture(seed)) for seed in range(2)]
        answer = ask(client, *images, method="integrated-gradients", format="npz", target="red")
        arrays = np.load(BytesIO(answer.content), allow_pickle=False)
        assert arrays["attributions"].shape == (2, 8, 8)
        assert arrays["targets"].tolist() == [2, 2]
        assert arrays["convergence_deltas"].shape == (2,)
        expected = only(ask(client, images[1], method="integrated-gradients", target="red"))
        np.testing.assert_allclose(arrays["attributions"][1], expected["values"], atol=1e-6)

    @pytest.mark.parametrize(("view", "size"), [("network", (384, 384)), ("original", (400, 200))])
    def test_a_picture_over_either_view(
        self, client: TestClient, view: str, size: tuple[int, int]
    ) -> None:
        image = encode(picture(0, size=(40, 20)).resize((400, 200)))
        answer = ask(client, image, format="png", view=view, opacity=1)
        drawn = Image.open(BytesIO(answer.content))
        assert drawn.size == size
        if view == "original":  # what the network doesn't get is as it was
            outside = (0, 0, 99, 200)
            ground = Image.open(BytesIO(image)).crop(outside)
            assert drawn.crop(outside).tobytes() == ground.tobytes()
        told = json.loads(answer.headers["X-Fanlight"])
        assert told["method"] == "saliency"
        assert told["shape"] == [8, 8]
        assert "top" not in told["prediction"]
        plain = ask(client, image, format="png", view=view, opacity=0)
        assert plain.content != answer.content


class TestRefusals:
    @pytest.mark.slow
    def test_grad_cam_without_convolutions(self, serve: Serve, repository: Path) -> None:
        publish(repository, "mlp", hidden=[4])
        client = serve()
        detail = problem(ask(client, model="mlp", method="grad-cam"), 422)["detail"]
        assert "mlp has none; methods that work: integrated-gradients, occlus" in detail
        for method in sorted(set(NAMES) - {"class-map", "grad-cam"}):
            assert only(ask(client, model="mlp", method=method))["shape"] == [28, 28]

    @pytest.mark.parametrize(
        ("params", "status", "words"),
        [
            ({"target": "cyan"}, 422, "the labels are: blue, green, red"),
            ({"target": "3"}, 422, "neither a label nor an index from 0 to 2"),
            ({"target": "-1"}, 422, "neither a label nor an index"),
            ({"target": "9" * 30}, 422, "neither a label nor an index"),
            ({"method": "grad-cam", "layer": "conv9"}, 404, "there are: conv, relu, pool, fc"),
            ({"method": "grad-cam", "layer": "fc"}, 422, "possible: conv, relu"),
            ({"method": "magic"}, 422, "invalid parameter: method"),
            ({"method": "integrated-gradients", "steps": 257}, 422, "invalid parameter: steps"),
            ({"method": "occlusion", "window": 9}, 422, "must fit into the input of 8 × 8"),
            ({"method": "occlusion", "window": 2, "stride": 3}, 422, "the stride into the window"),
            ({"baseline": "pink"}, 422, "invalid parameter: baseline"),
            ({"opacity": 2}, 422, "invalid parameter: opacity"),
            ({"steps": 9}, 422, "no parameter of saliency 'steps'; there are none"),
            ({"method": "grad-cam", "window": 2}, 422, "'window'; there are layer"),
        ],
        ids=str,
    )
    def test_parameters(
        self, client: TestClient, params: dict[str, Any], status: int, words: str
    ) -> None:
        assert words in problem(ask(client, **params), status)["detail"]

    def test_more_windows_than_are_hidden(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("service.inference.explain_methods.occlusion.MAX_WINDOWS", 9)
        answer = ask(client, method="occlusion", window=2, stride=1)
        assert (
            "make 49 windows; at most 9 are hidden: raise the stride"
            in problem(answer, 422)["detail"]
        )
        assert ask(client, method="occlusion", window=4, stride=2).status_code == 200

    @pytest.mark.slow
    def test_more_images_than_are_explained(self, serve: Serve) -> None:
        client = serve(max_explained_images=1)
        assert "setting max_explained_images" in problem(ask(client, IMAGE, IMAGE), 413)["detail"]

    def test_a_picture_of_one_image(self, client: TestClient) -> None:
        detail = problem(ask(client, IMAGE, IMAGE, format="png"), 422)["detail"]
        assert "json and npz take many" in detail


class Held:
    """Holds the lane until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started, self.let_go = threading.Event(), threading.Event()
        explain = explanation.explain

        def held(*arguments: Any, **options: Any) -> Any:
            self.started.set()
            assert self.let_go.wait(30)
            return explain(*arguments, **options)

        monkeypatch.setattr(explanation, "explain", held)


class TestLane:
    def test_predictions_pass_explanations(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = Held(monkeypatch)
        with ThreadPoolExecutor() as others:
            explaining_ = others.submit(ask, client)
            assert held.started.wait(30)
            assert client.post(PREDICT, files=parts(IMAGE)).status_code == 200
            assert not explaining_.done()
            held.let_go.set()
            assert explaining_.result().status_code == 200

    @pytest.mark.slow
    def test_429_when_too_many_wait(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        client = serve(max_explain_queue_size=1)
        held = Held(monkeypatch)
        with ThreadPoolExecutor() as others:
            first = others.submit(ask, client)
            assert held.started.wait(30)
            answer = ask(client)
            held.let_go.set()
            assert first.result().status_code == 200
        assert "setting max_explain_queue_size" in problem(answer, 429)["detail"]
        assert ask(client).status_code == 200

    @pytest.mark.slow
    def test_work_that_nobody_waits_for_ends(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ended = threading.Event()
        explain = explanation.explain

        def endless(*arguments: Any, **options: Any) -> Any:
            step: Callable[[], None] = arguments[-1]
            try:
                while True:
                    step()
            finally:
                ended.set()

        client = serve(request_timeout=1)
        monkeypatch.setattr(explanation, "explain", endless)
        assert ask(client).status_code == 504
        assert ended.wait(10)
        monkeypatch.setattr(explanation, "explain", explain)
        until(lambda: ask(client).status_code == 200)  # a busy machine may take 0.2 s


class TestTwin:
    def test_it_shares_the_weights_and_not_the_hooks(self, plain: Checkpoint) -> None:
        twin = explanation.twin(plain.network)
        for one, other in zip(plain.network.parameters(), twin.parameters(), strict=True):
            assert one is other
        handle = twin.get_submodule("conv").register_forward_hook(lambda *_: None)
        assert not plain.network.get_submodule("conv")._forward_hooks
        handle.remove()

    def test_nothing_works_in_place(self) -> None:
        network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.ReLU(inplace=True))
        assert not any(getattr(m, "inplace", False) for m in explanation.twin(network).modules())
        assert network[1].inplace

    @pytest.mark.parametrize("method", NAMES)
    def test_neither_hooks_nor_gradients_stay(self, client: TestClient, method: str) -> None:
        assert ask(client, method=method).status_code == 200
        loaded = client.app.state.repository.get("colors", None)  # type: ignore[attr-defined]
        for network in (loaded.explainer.network, loaded.checkpoint.network):
            assert not hooks(network)
            assert all(parameter.grad is None for parameter in network.parameters())

    @pytest.mark.parametrize("method", NAMES)
    def test_an_abandoned_explanation_leaves_no_hook(self, plain: Checkpoint, method: str) -> None:
        explainer = Explainer(explanation.twin(plain.network), SPEC, torch.device("cpu"))
        asked = explanation.question(plain, method, {"steps": 8}, None)
        for most in range(4):  # the prediction, and the first pass behind it
            calls = count(1)

            def step(_passes: int = 0, /, calls: Any = calls, most: int = most) -> None:
                if next(calls) > most:
                    raise explanation.AbandonedError

            with pytest.raises(explanation.AbandonedError):
                explanation.explain(explainer, [SPEC.array(picture(0))], asked, step)
            assert not hooks(explainer.network)
        [found] = explanation.explain(explainer, [SPEC.array(picture(0))], asked)
        assert found.values.shape == (8, 8)


class Steps(methods.Parameters):
    steps: int = Field(500, ge=500)


class Version(methods.Parameters):
    version: str = "new"


def toy(own: type[methods.Parameters]) -> methods.ExplainMethod[methods.Parameters]:
    class Toy(methods.ExplainMethod[methods.Parameters]):
        name, title, description, model = "toy", "Toy", "A toy.", own

        def attribute(self, subject: methods.Subject, _: object) -> methods.Attribution:
            return methods.Attribution(subject.batch[0, 0])

    return Toy()


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (Steps, "'integrated-gradients' and 'toy' define the parameter 'steps' differently"),
        (Version, "'toy' defines the parameter 'version', which every method has"),
    ],
)
def test_parameters_that_would_change_those_of_other_methods_are_refused(
    own: type[methods.Parameters], message: str
) -> None:
    with METHODS.restored():
        METHODS.register(toy(own))
        with pytest.raises(ValueError, match=message):
            parameters.own_fields()


class Needed(methods.Parameters):
    size: int = Field(description="pixels of a tile", ge=2)
    is_smooth: bool = True
    places: list[int] = Field(default_factory=lambda: [1, 2], description="where")


def test_parameters_of_one_method_may_be_left_out_and_tell_their_default() -> None:
    with METHODS.restored():
        METHODS.register(toy(Needed))
        asked = create_model("Asked", **parameters.own_fields())
    asked(size=None)
    told = {name: field.description for name, field in asked.model_fields.items()}
    assert told["size"] == "pixels of a tile; needed"
    assert told["is_smooth"] == "default: true"
    assert told["places"] == "where; default: [1, 2]"
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        asked(size=1)


@pytest.mark.parametrize("method", ["occlusion", "integrated-gradients"])
@pytest.mark.parametrize(("colour", "baseline"), [(0, "black"), (255, "white")])
def test_an_image_that_is_the_baseline_everywhere_says_why_its_map_is_0(
    client: TestClient, method: str, colour: int, baseline: str
) -> None:
    flat = encode(Image.new("RGB", (SPEC.width, SPEC.height), (colour,) * 3))
    found = only(ask(client, flat, method=method, baseline=baseline))
    assert (found["min"], found["max"]) == (0, 0)
    assert f"the image is {baseline} everywhere, as the baseline is" in found["note"]
    other = "white" if baseline == "black" else "black"
    assert "everywhere, as the baseline" not in str(
        only(ask(client, flat, method=method, baseline=other))
    )
