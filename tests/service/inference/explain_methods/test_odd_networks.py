"""Explanations of networks whose forward pass is unusual: right, or the answer says what is not."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.preprocessing import InputSpec
from models.structure import reading
from service.errors import InvalidInputError
from service.inference import explanation
from service.inference.explain_methods.grad_cam import GradCam, GradCamParameters
from service.inference.explain_methods.method import METHODS
from service.inference.explainer import Explainer
from service.inference.explanation import Explanation, Question

SIDE = 16
SPEC = InputSpec(channels=3, height=SIDE, width=SIDE, mean=(0.5,) * 3, std=(0.25,) * 3)
WITH_GRADIENTS = [each.name for each in METHODS if each.needs_gradients]


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.relu(self.conv(x)).mean((2, 3)))
        return logits


class InPlace(Base):
    """Normalises the tensor that it is given."""

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5)
        x /= 0.25
        return super().forward(x)


class Plain(Base):
    """The same without touching what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x - 0.5) / 0.25)


class Numbers(Base):
    """Leaves torch in the middle."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.from_numpy(np.tanh(x.numpy())))


class Halves(Base):
    """Calls the same convolution on both halves of an image."""

    def forward(self, x: Tensor) -> Tensor:
        left, right = (self.relu(self.conv(half)).mean((2, 3)) for half in x.chunk(2, 3))
        logits: Tensor = self.fc(left - right)
        return logits


class Branches(Base):
    """Two branches that no module brings together."""

    def __init__(self) -> None:
        super().__init__()
        self.other, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.conv(x).relu(), self.other(x).relu()], 1)
        logits: Tensor = self.fc(both.mean((2, 3)))
        return logits


class ClassToken(nn.Module):
    """Answers by a further token; patches come before or behind the images of a batch."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.batch_first, self.patches = batch_first, nn.Conv2d(3, 8, 4, stride=4)
        self.first, self.last = (
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first) for _ in range(2)
        )
        self.fc = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        found = self.patches(x).flatten(2)  # (N, 8, 16)
        found = torch.cat([found.mean(2, keepdim=True), found], 2)
        found = found.permute(0, 2, 1) if self.batch_first else found.permute(2, 0, 1)
        found = self.last(self.first(found))
        logits: Tensor = self.fc(found[:, 0] if self.batch_first else found[0])
        return logits


def built(kind: type[nn.Module], *arguments: Any) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(*arguments).eval()


def explained(network: nn.Module, method: str, layer: str | None = None) -> Explanation:
    """Of one seeded image, made on a twin as in the service."""
    found = METHODS.get(method)
    structure = reading.read(network, torch.zeros(1, *SPEC.shape))
    given = {"layer": layer or structure.whole} if method == "grad-cam" else {}
    asked = Question(found, found.model.model_validate(given), structure.outputs(), 0)
    if method == "integrated-gradients":
        asked = Question(found, found.model(steps=8, baseline="grey"), structure.outputs(), 0)
    explainer = Explainer(explanation.twin(network), SPEC, torch.device("cpu"))
    pixels = np.random.default_rng(0).integers(0, 256, SPEC.shape, np.uint8)
    [made] = explanation.explain(explainer, [pixels], asked)
    return made


@pytest.mark.parametrize("method", WITH_GRADIENTS)
def test_an_input_that_is_changed_in_place(method: str) -> None:
    found, expected = (explained(built(kind), method) for kind in (InPlace, Plain))
    assert found.values.any()
    np.testing.assert_allclose(found.values, expected.values, atol=1e-5)


@pytest.mark.parametrize("method", WITH_GRADIENTS)
def test_what_torch_can_not_differentiate_is_the_answer(method: str) -> None:
    with pytest.raises(InvalidInputError, match="torch can't compute those of this network"):
        explained(built(Numbers), method, "relu")


def test_other_errors_of_a_method_are_not_taken_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(GradCam, "attribute", broken)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        explained(built(Base), "grad-cam")


def notes(network: nn.Module, layer: str | None = None) -> list[str]:
    structure = reading.read(network, torch.zeros(1, *SPEC.shape))
    return GradCam().notes(GradCamParameters(layer=layer or structure.whole), structure)


def test_a_module_that_is_called_twice_is_told() -> None:
    told = " ".join(notes(built(Halves), "relu"))
    assert "relu is called 2 times; the map is of its last call" in told


def test_that_no_layer_holds_the_whole_image_is_told() -> None:
    assert "no layer or block holds the whole image" in " ".join(notes(built(Branches)))
    assert not notes(built(Base))


@pytest.mark.parametrize("layer", ["patches", "first"])
def test_patches_before_the_images_of_a_batch(layer: str) -> None:
    turned, usual = built(ClassToken, False), built(ClassToken, True)
    turned.load_state_dict(usual.state_dict())
    found, expected = (explained(each, "grad-cam", layer).values for each in (turned, usual))
    assert found.any()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_layer_whose_places_nothing_uses_is_told() -> None:
    made = explained(built(ClassToken, True), "grad-cam", "last")
    assert not made.values.any()
    assert made.reason == "what follows last uses none of its maps"
