"""torchvision, imported on first use.

It takes a second to import and most networks don't need it. Its wheels are built beside one build
of torch: next to another (a CPU torch and a CUDA torchvision, say) the compiled operators can't be
loaded, and the import fails on `nms`, which no classifier uses. Declaring those operators, without
an implementation, lets the rest of the package work.
"""

import importlib
import sys
from types import ModuleType

import torch

from models.errors import InstallationError

_DETECTION_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def torchvision(module: str) -> ModuleType:
    """Import `torchvision.<module>`, for example `torchvision("datasets")`.

    Raises `InstallationError` if torchvision doesn't fit the installed torch.
    """
    try:
        return _imported(module)
    except RuntimeError as error:
        raise InstallationError(
            f"torchvision can't be imported beside torch {torch.__version__} ({error}): "
            "install the torchvision that matches this torch"
        ) from error


def _imported(module: str) -> ModuleType:
    try:
        return importlib.import_module(f"torchvision.{module}")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # the half-imported package
    for operator in _DETECTION_OPERATORS:
        torch.library.define(
            f"torchvision::{operator.partition('(')[0]}", operator[operator.index("(") :]
        )
    return importlib.import_module(f"torchvision.{module}")
