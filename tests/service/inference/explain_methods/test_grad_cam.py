"""Grad-CAM is that of pytorch-grad-cam, whatever the network's maps look like."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.preprocessing import InputSpec
from models.structure import reading
from models.structure.axes import CHANNELS_LAST, TOKENS
from models.torchvision_import import torchvision
from service.inference import explanation
from service.inference.explain_methods.grad_cam import GradCam, GradCamParameters
from service.inference.explainer import Explainer
from service.inference.explanation import Question
from tests.models.structure.test_whole_image import transformer

SIZE, TARGET = 64, 1
SPEC = InputSpec(channels=3, height=SIZE, width=SIZE, mean=(0.5,) * 3, std=(0.25,) * 3)


def pixels() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE), np.uint8)


def ours(network: nn.Module, layer: str | None) -> tuple[str, Tensor]:
    """The layer and the heat map (H, W), made on a twin as in the service."""
    found = reading.read(network, torch.zeros(1, *SPEC.shape))
    name = layer or str(found.whole)
    asked = Question(GradCam(), GradCamParameters(layer=name), found.outputs(), TARGET)
    explainer = Explainer(explanation.twin(network), SPEC, torch.device("cpu"))
    [made] = explanation.explain(explainer, [pixels()], asked)
    return name, torch.from_numpy(made.values)


def theirs(network: nn.Module, layer: str, reshape: Callable[[Tensor], Tensor] | None) -> Tensor:
    """The heat map (H, W) of pytorch-grad-cam before it is scaled, scaled up as ours is.

    It keeps what layers give without a copy, so nothing may be changed in place.
    """
    torchvision("models")  # which pytorch-grad-cam imports; its operators may have to be declared
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    batch = SPEC.normalize(torch.from_numpy(pixels())[None])
    module = network.get_submodule(layer)
    with GradCAM(network, [module], reshape_transform=reshape) as cam:
        outputs = cam.activations_and_grads(batch)
        network.zero_grad()
        ClassifierOutputTarget(TARGET)(outputs[0]).backward()
        activations, gradients = (
            getattr(cam.activations_and_grads, name)[0].numpy()
            for name in ("activations", "gradients")
        )
        heat = cam.get_cam_image(batch, module, [], activations, gradients, False)
    maps = torch.from_numpy(np.maximum(heat, 0))[None]
    return nn.functional.interpolate(maps, (SIZE, SIZE), mode="bilinear")[0, 0]


def last_to_first(activation: Tensor) -> Tensor:
    return activation.permute(0, 3, 1, 2)


def of_patches(activation: Tensor) -> Tensor:
    return activation[:, 1:].reshape(1, SIZE // 8, SIZE // 8, -1).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("name", "layer", "reshape"),
    [
        ("resnet18", None, None),
        ("resnet18", "layer4.1", None),
        ("resnet18", "layer3.0.bn1", None),
        ("densenet121", None, None),
        ("densenet121", "features.denseblock3", None),
        ("convnext_tiny", None, None),
        ("convnext_tiny", "features.7.2.block.3", last_to_first),
        ("swin_t", None, last_to_first),
        ("swin_t", "features.7.1.norm1", last_to_first),
        ("transformer", None, of_patches),
        ("transformer", "encoder.layers.encoder_layer_2.ln_1", of_patches),
    ],
)
def test_it_is_that_of_pytorch_grad_cam(
    name: str,
    layer: str | None,
    reshape: Callable[[Tensor], Tensor] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    if name == "transformer":
        network = transformer(image_size=SIZE).eval()
    else:
        network = getattr(torchvision("models"), name)(num_classes=5).eval()
    used, found = ours(network, layer)
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    monkeypatch.setattr(nn.functional, "relu", lambda x, inplace=False: x.clamp_min(0))
    for parameter in network.parameters():  # of both: pytorch-grad-cam needs the gradients of all
        parameter.requires_grad_(True)
    expected = theirs(network, used, reshape)
    assert expected.max() > 0
    torch.testing.assert_close(found / expected.max(), expected / expected.max(), atol=1e-4, rtol=0)


class Changing(nn.Module):
    """Changes the output of its convolution in place, without a module."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(x).relu_().mean((2, 3)))
        return logits


def test_what_is_changed_in_place_is_shown_as_the_layer_gave_it() -> None:
    torch.manual_seed(0)
    network = Changing().eval()
    _, found = ours(network, "conv")
    batch = SPEC.normalize(torch.from_numpy(pixels())[None])
    activation = network.conv(batch).detach().requires_grad_()
    logit = network.fc(activation.relu().mean((2, 3)))[0, TARGET]
    [gradient] = torch.autograd.grad(logit, activation)
    heat = (gradient.mean((2, 3), keepdim=True) * activation.detach()).sum(1, keepdim=True).relu()
    expected = nn.functional.interpolate(heat, (SIZE, SIZE), mode="bilinear")[0, 0]
    torch.testing.assert_close(found, expected)


def test_a_layer_that_the_logits_do_not_need_gives_zeros() -> None:
    class Aside(Changing):
        def forward(self, x: Tensor) -> Tensor:
            self.conv(x)
            logits: Tensor = self.fc(x.mean((1, 2, 3), keepdim=True).flatten(1).expand(-1, 4))
            return logits

    _, found = ours(Aside().eval(), "conv")
    assert not found.any()


class Named(NamedTuple):
    maps: Tensor
    others: Tensor


class Several(Changing):
    """Its block answers with a named tuple, and one layer is detached from the image."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Named:
            return Named(self.conv(x), x)

    def __init__(self) -> None:
        super().__init__()
        self.block = Several.Block()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.block(x).maps.mean((2, 3)))
        logits += self.conv(x.detach()).mean((1, 2, 3), keepdim=True).flatten(1)
        return logits


@pytest.mark.parametrize(("layer", "is_seen"), [("block", True), ("conv", False)])
def test_named_tuples_and_what_is_detached(layer: str, is_seen: bool) -> None:
    torch.manual_seed(0)
    _, found = ours(Several().eval(), layer)
    assert bool(found.any()) == is_seen


def test_the_axes_of_these_networks_differ() -> None:
    """What the comparisons above are about."""
    torch.manual_seed(0)
    batch = torch.zeros(1, *SPEC.shape)
    swin = reading.read(torchvision("models").swin_t(num_classes=5).eval(), batch)
    tokens = reading.read(transformer(image_size=SIZE).eval(), batch)
    assert swin.outputs()["features.7.1.norm1"].axes == CHANNELS_LAST
    assert tokens.outputs()["encoder.ln"].axes == TOKENS
