"""timm's networks by name, with the preprocessing that `pretrained_cfg` states (the extra `timm`).

Nothing is downloaded: a name must be in timm's own list, which has no addresses, and arguments that
make timm read or fetch weights are refused.
"""

import importlib
import math
from types import ModuleType
from typing import Any

from torch import nn

from models import extras
from models.architectures.architecture import Architecture, ArchitectureError
from models.preprocessing import InputSpec
from models.registry import nearest
from models.torchvision_import import torchvision

PREFIX = "timm/"
_FETCHING = ("pretrained", "checkpoint", "cache_dir", "features_only", "scriptable", "exportable")
"""Prefixes of refused arguments, which concern the weights or the export, not the network."""


def architecture(name: str) -> Architecture:
    """Return the architecture `timm/<name>`; raise `ArchitectureError` if timm has no such network.

    Raises `InstallationError` where timm is not installed.
    """
    timm = _timm(name)
    model = name.removeprefix(PREFIX)
    if model not in timm.list_models() and model not in timm.list_models(pretrained=True):
        near = nearest(model, timm.list_models())
        meant = f"did you mean {PREFIX + near!r}? " if near else ""
        raise ArchitectureError(
            f"timm {timm.__version__} has no network {model!r}; {meant}"
            "timm.list_models() lists what it has"
        )

    def factory(num_classes: int, **arguments: Any) -> nn.Module:
        if fetching := [each for each in arguments if each.startswith(_FETCHING)]:
            raise ArchitectureError(
                f"architecture {name!r} can't be built with {fetching[0]}: its weights come from "
                "the file that is imported"
            )
        network: nn.Module = timm.create_model(
            model, pretrained=False, num_classes=num_classes, **arguments
        )
        return network

    spec, pads = _input(timm, model)
    padded = "; its weights were trained on padded pictures, which are cropped here" if pads else ""
    return Architecture(name, spec, factory, f"timm's {model}{padded}.")


def _timm(name: str) -> ModuleType:
    torchvision("models")  # which timm imports, and which may need help for that
    return extras.imported("timm", "timm", name)


def _input(timm: ModuleType, model: str) -> tuple[InputSpec, bool]:
    """Return the input that the configuration of the weights states, and whether pictures are
    padded for it, which an `InputSpec` can't express."""
    config = timm.get_pretrained_cfg(model)
    found = importlib.import_module("timm.data").resolve_data_config(
        {}, pretrained_cfg=config.to_dict() if config is not None else {}
    )
    channels, height, width = found["input_size"]
    squashes, shorter = found["crop_mode"] == "squash", min(height, width)
    side = math.floor(shorter / found["crop_pct"])
    pads = found["crop_mode"] == "border" or side < shorter
    is_whole = pads or (squashes and side == shorter)
    spec = InputSpec(
        channels=channels,
        height=height,
        width=width,
        resize="stretch" if squashes else "crop",
        resize_size=None if is_whole else side,
        interpolation="bicubic" if found["interpolation"] == "bicubic" else None,
        mean=found["mean"],
        std=found["std"],
    )
    return spec, pads
