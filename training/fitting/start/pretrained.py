"""Pretrained weights: those of a file, a package or torchvision → all layers but the head."""

from pathlib import Path

from torch import Tensor, nn

from models.architectures.registry import TORCHVISION_PREFIX
from models.checkpoint import CheckpointError
from models.errors import OptionError
from models.importing import names, saved_files, state_dicts
from models.torchvision_import import torchvision
from training.fitting.start import imagenet

DOWNLOAD = "download"


def check(source: str | None, architecture: str) -> None:
    """Check, before a training, that the weights of `source` can be had. Nothing is downloaded.

    Raises `CheckpointError` for a file that is missing or has no weights, `OptionError` for an
    architecture of which nothing can be downloaded; `InstallationError` for weights of `imagenet`
    that are not installed.
    """
    if source == imagenet.IMAGENET:
        imagenet.check(architecture)
    elif source == DOWNLOAD:
        _check_downloadable(architecture)
    elif source is not None:
        if not Path(source).is_file():
            raise CheckpointError(f"{source}: no file of weights is there; see --pretrained")
        _from_file(Path(source))


def start_from(network: nn.Module, architecture: str, source: str) -> None:
    """Load pretrained weights; keep the network's own head if the number of classes differs.

    `source` is `imagenet` for the weights of the extra `pretrained`, `download` for torchvision's,
    or a file of weights, which is read as `fanlight import` reads it. Raises `CheckpointError` if
    other shapes or names differ, or if the weights can't be read or downloaded, and
    `InstallationError` if they are not installed.
    """
    if source == imagenet.IMAGENET:
        weights = imagenet.weights(architecture, network)
    elif source == DOWNLOAD:
        weights = _downloaded(architecture)
    else:
        weights = _from_file(Path(source))
    try:
        fitting = names.fit(
            weights,
            network.state_dict(),
            architecture=architecture,
            has_order=False,  # `fit` has no option that would follow it
            head="theirs if it fits",
        )
    except names.MismatchError as error:
        raise CheckpointError(f"{source}: {error}") from error
    network.load_state_dict(fitting.tensors)


def _from_file(file: Path) -> dict[str, Tensor]:
    try:
        return state_dicts.choose(saved_files.read(file), file).tensors
    except saved_files.SavedFileError as error:
        raise CheckpointError(str(error)) from error


def _check_downloadable(architecture: str) -> None:
    if not architecture.startswith(TORCHVISION_PREFIX):
        raise OptionError(
            f"{architecture} has no weights to download; name a file, or take "
            f"{TORCHVISION_PREFIX}<name>"
        )


def _downloaded(architecture: str) -> dict[str, Tensor]:
    _check_downloadable(architecture)
    name = architecture.removeprefix(TORCHVISION_PREFIX)
    try:
        network: nn.Module = torchvision("models").get_model(name, weights="DEFAULT")
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights of {architecture} could not be downloaded ({error}); "
            "give a file that holds them instead"
        ) from error
    return network.state_dict()  # the files of some networks have names of an older time
