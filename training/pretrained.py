"""Weights to start from: a state_dict by file, or torchvision's → all but the head."""

from pathlib import Path

import torch
from torch import Tensor, nn

from models.checkpoint import CheckpointError, read_state_dict
from models.registry import TORCHVISION_PREFIX
from models.vision import torchvision

DOWNLOAD = "download"


def start_from(network: nn.Module, architecture: str, source: str) -> None:
    """Load the weights into the network; its head stays as it is if the classes are others.

    `source` is `download` for torchvision's weights, or the path of a file that torch.save wrote of
    a state_dict. The head is the one module whose tensors have other shapes. Raises
    `CheckpointError` if more than that doesn't fit, or the weights can't be had.
    """
    weights = _downloaded(architecture) if source == DOWNLOAD else _from_file(source)
    own = network.state_dict()
    if missing := own.keys() ^ weights.keys():
        raise CheckpointError(
            f"the weights of {source} are not of {architecture}: {len(missing)} names are not in "
            f"both, {', '.join(sorted(missing)[:4])} for example"
        )
    other = [name for name, value in weights.items() if value.shape != own[name].shape]
    heads = {name.rpartition(".")[0] for name in other}
    if len(heads) > 1:
        raise CheckpointError(
            f"the weights of {source} have other shapes in {', '.join(sorted(heads))}; only the "
            "head, one module, may differ"
        )
    network.load_state_dict({**weights, **{name: own[name] for name in other}})


def _from_file(source: str) -> dict[str, Tensor]:
    return read_state_dict(Path(source), torch.device("cpu"))


def _downloaded(architecture: str) -> dict[str, Tensor]:
    if not architecture.startswith(TORCHVISION_PREFIX):
        raise CheckpointError(
            f"{architecture} has no weights to download; name a file, or take "
            f"{TORCHVISION_PREFIX}<name>"
        )
    name = architecture.removeprefix(TORCHVISION_PREFIX)
    try:
        network: nn.Module = torchvision("models").get_model(name, weights="DEFAULT")
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights of {architecture} could not be downloaded ({error}); "
            "give a file that holds them instead"
        ) from error
    return network.state_dict()  # the files of some networks have names of an older time
