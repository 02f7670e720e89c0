"""Pretrained weights: a state_dict from a file or torchvision → all layers but the head."""

from pathlib import Path

import torch
from torch import Tensor, nn

from models.architectures.registry import TORCHVISION_PREFIX
from models.checkpoint import CheckpointError, read_state_dict
from models.torchvision_import import torchvision

DOWNLOAD = "download"


def start_from(network: nn.Module, architecture: str, source: str) -> None:
    """Load pretrained weights; keep the network's own head if the number of classes differs.

    `source` is `download` for torchvision's weights, or a state_dict file written by torch.save.
    The head is the only module whose tensor shapes may differ. Raises `CheckpointError` if other
    shapes or names differ, or if the weights can't be read or downloaded.
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
