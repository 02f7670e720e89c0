"""What is shown of five kinds of network, beside their oracles: `python -m benchmarks oracles`.

One row a network of torchvision, with seeded random weights, on the photograph of an owl:
Grad-CAM beside pytorch-grad-cam's, channels of a layer beside what a plain forward hook sees, and
the class map beside the network's own layers on the whole image, whose last pooling is slid by hand
(ConvNeXt's: beside its answers to one window after the other). Below each pair stands the largest
difference, as a part of the largest value. It writes docs/oracles.png, which is to be looked at;
tests hold the same equalities.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from models import features
from models.convolutional import class_map
from models.preprocessing import InputSpec
from models.structure import reading
from models.structure.reading import Structure
from models.torchvision_import import torchvision
from service.inference import explanation
from service.inference.explain_methods.grad_cam import GradCam, GradCamParameters
from service.inference.explainer import Explainer
from service.inference.explanation import Question

ROOT = Path(__file__).parents[1]
OWL = ROOT / "tests" / "data" / "birds-vs-planes" / "bird-owl.png"
SIDE, WIDE, HIGH, STRIDE, CLASSES, CHANNELS = 64, 256, 160, 32, 5, 16
SPEC = InputSpec(channels=3, height=SIDE, width=SIDE, mean=(0.5,) * 3, std=(0.25,) * 3)
Pixels = NDArray[np.uint8]


class Kind(NamedTuple):
    """A network and the layer whose channels are drawn.

    `reshape` turns the output of the layer into maps (N, C, H, W), if it has another form. `slid`
    gives the logits (1, K, rows, columns) of an image (1, C, H, W) by the network's layers.
    """

    title: str
    build: Callable[[Any], nn.Module]
    layer: str
    reshape: Callable[[Tensor], Tensor] | None = None
    slid: Callable[[Any, Tensor], Tensor] | None = None
    target: int = 1


def last_to_first(activation: Tensor) -> Tensor:
    return activation.permute(0, 3, 1, 2)


def of_patches(activation: Tensor) -> Tensor:
    """Reshape tokens (N, 1 + side², C) to maps (N, C, side, side), without the class token."""
    side = int((activation.shape[1] - 1) ** 0.5)
    return activation[:, 1:].reshape(len(activation), side, side, -1).permute(0, 3, 1, 2)


def of_resnet(network: Any, x: Tensor) -> Tensor:
    x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
    maps = network.layer4(network.layer3(network.layer2(network.layer1(x))))
    return _slid(network.fc, maps)


def of_densenet(network: Any, x: Tensor) -> Tensor:
    return _slid(network.classifier, network.features(x).relu())


def _slid(last: nn.Linear, maps: Tensor) -> Tensor:
    """The logits of every window: its maps averaged, then the last layer, as convolutions."""
    return F.conv2d(F.avg_pool2d(maps, SIDE // STRIDE, 1), last.weight[..., None, None], last.bias)


def vision_transformer(networks: Any) -> nn.Module:
    network: nn.Module = networks.VisionTransformer(SIDE, 8, 4, 4, 64, 128, num_classes=CLASSES)
    nn.init.normal_(network.get_submodule("heads.head").get_parameter("weight"))  # zeros at first
    return network


KINDS = (
    Kind("ResNet-18", lambda of: of.resnet18(num_classes=CLASSES), "layer2", slid=of_resnet),
    Kind(
        "DenseNet-121",
        lambda of: of.densenet121(num_classes=CLASSES),
        "features.denseblock2",
        slid=of_densenet,
    ),
    Kind("ConvNeXt-T", lambda of: of.convnext_tiny(num_classes=CLASSES), "features.3"),
    Kind(
        "Swin-T", lambda of: of.swin_t(num_classes=CLASSES), "features.3", last_to_first, target=0
    ),
    Kind("ViT", vision_transformer, "encoder.layers.encoder_layer_1", of_patches),
)


def grad_cam(network: nn.Module, structure: Structure, kind: Kind, image: Pixels) -> Tensor:
    """Fanlight's Grad-CAM (H, W) of the network's default layer, computed as the service does."""
    asked = Question(
        GradCam(), GradCamParameters(layer=structure.whole), structure.outputs(), kind.target
    )
    explainer = Explainer(explanation.twin(network), SPEC, torch.device("cpu"))
    [made] = explanation.explain(explainer, [image], asked)
    return torch.from_numpy(made.values)


def grad_cam_of_others(network: nn.Module, layer: str, kind: Kind, image: Pixels) -> Tensor:
    """pytorch-grad-cam's heat map (H, W), not scaled to 0 to 1."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment] # it keeps values without a copy
    network.requires_grad_(True)
    module = network.get_submodule(layer)
    with (
        patch.object(F, "relu", lambda x, inplace=False: x.clamp_min(0)),  # DenseNet's is in place
        GradCAM(network, [module], reshape_transform=kind.reshape) as cam,
    ):
        seen = cam.activations_and_grads
        outputs = seen(SPEC.normalize(torch.from_numpy(image)[None]))
        ClassifierOutputTarget(kind.target)(outputs[0]).backward()
        values, gradients = seen.activations[0].numpy(), seen.gradients[0].numpy()
        heat = cam.get_cam_image(outputs, module, [], values, gradients, False)
    maps = torch.from_numpy(np.maximum(heat, 0))[None]
    return F.interpolate(maps, (SIDE, SIDE), mode="bilinear")[0, 0]


@torch.inference_mode()
def channels(network: nn.Module, structure: Structure, kind: Kind, image: Pixels) -> Tensor:
    """The maps (C, H, W) of the layer `kind.layer`, as `features` of the service answers them."""
    layer = structure.outputs()[kind.layer]
    with features.capture(network, [kind.layer], structure.layers) as seen:
        network(SPEC.normalize(torch.from_numpy(image)[None]))
    return features.maps(layer, seen[kind.layer])[0]


@torch.inference_mode()
def hooked(network: nn.Module, kind: Kind, image: Pixels) -> Tensor:
    """Return the same maps as `channels`, taken from a forward hook of torch."""
    seen: list[Tensor] = []
    module = network.get_submodule(kind.layer)
    handle = module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    network(SPEC.normalize(torch.from_numpy(image)[None]))
    handle.remove()
    return (kind.reshape or (lambda x: x))(seen[0])[0]


@torch.inference_mode()
def class_maps(
    network: nn.Module, structure: Structure, kind: Kind, image: Image.Image
) -> tuple[Tensor, Tensor]:
    """Probabilities (rows, columns) of the target in a wide image: Fanlight's, and the oracle's."""
    assert structure.form is not None
    found = class_map.class_map(
        structure.form,
        image,
        SPEC,
        lambda logits: logits.softmax(1),
        device=torch.device("cpu"),
        step=STRIDE,
    )
    ours = found.probabilities[kind.target]
    whole = SPEC.normalize(torch.from_numpy(found.picture.pixels)[None])
    if kind.slid is not None:
        return ours, kind.slid(network, whole).softmax(1)[0, kind.target]
    windows = whole.unfold(2, SIDE, STRIDE).unfold(3, SIDE, STRIDE)  # (1, C, rows, columns, …)
    logits = network(windows[0].movedim(0, 2).flatten(0, 1))
    return ours, logits.softmax(1)[:, kind.target].reshape(ours.shape)


def mosaic(maps: Tensor) -> Tensor:
    """Tile the first `CHANNELS` maps, four in a row, each scaled from its minimum to maximum."""
    some = maps[:CHANNELS]
    low, high = some.amin((1, 2), keepdim=True), some.amax((1, 2), keepdim=True)
    tiles = F.pad((some - low) / (high - low).clamp_min(1e-12), (0, 1, 0, 1), value=1.0)
    rows = [torch.cat(list(tiles[at : at + 4]), 1) for at in range(0, len(tiles), 4)]
    return torch.cat(rows, 0)


def draw(cells: Any, name: str, ours: Tensor, oracle: Tensor, compared: Tensor) -> None:
    """Draw Fanlight's values and the oracle's side by side.

    `compared` is their largest difference, as a part of the largest value.
    """
    for cell, values, who in zip(cells, (ours, oracle), ("ours", "oracle"), strict=True):
        cell.imshow(values.numpy(), cmap="viridis")
        cell.set_title(f"{name}, {who}", fontsize="small")
    cells[0].set_xlabel(f"differ by {compared.item():.0e}", fontsize="small")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "oracles.png")
    output = parser.parse_args().output
    networks = torchvision("models")
    owl = Image.open(OWL).convert("RGB")
    image = np.asarray(owl.resize((SIDE, SIDE))).transpose(2, 0, 1).copy()
    figure = Figure(figsize=(12, 2.1 * len(KINDS)), layout="constrained")
    grid = figure.subplots(len(KINDS), 7)
    for cells, kind in zip(grid, KINDS, strict=True):
        torch.manual_seed(0)
        network = kind.build(networks).eval()
        structure = reading.read(network, torch.zeros(1, *SPEC.shape))
        cells[0].imshow(image.transpose(1, 2, 0))
        cells[0].set_ylabel(kind.title)
        shown, plain = channels(network, structure, kind, image), hooked(network, kind, image)
        apart = (shown - plain).abs().max() / plain.abs().max()
        draw(cells[3:5], "channels", mosaic(shown), mosaic(plain), apart)
        if structure.form is None:
            for cell in cells[5:]:
                cell.set_axis_off()
            cells[5].set_title("no class map: it needs\nconvolutions alone", fontsize="small")
        else:
            pair = class_maps(network, structure, kind, owl.resize((WIDE, HIGH)))
            draw(cells[5:], "class map", *pair, (pair[0] - pair[1]).abs().max() / pair[1].max())
        heat = grad_cam(network, structure, kind, image)
        other = grad_cam_of_others(network, str(structure.whole), kind, image)
        apart = (heat / heat.max() - other / other.max()).abs().max()
        draw(cells[1:3], "Grad-CAM", heat, other, apart)
    for cell in grid.flatten():
        cell.set_xticks([])
        cell.set_yticks([])
    figure.savefig(output, dpi=100)
    print(output)


if __name__ == "__main__":
    main()
