"""The network of a checkpoint: its architecture with its weights, or its graph."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.architectures import registry
from models.architectures.architecture import Architecture, ArchitectureError
from models.checkpoint.allowance import Allowance, TooLargeNetworkError
from models.checkpoint.errors import CheckpointError
from models.errors import InstallationError
from models.graphs import network as graphs
from models.graphs.errors import GraphError
from models.permission import Permission
from models.preprocessing import InputSpec

GRAPH = "model.onnx"
WEIGHTS = "weights.pt"


def named(name: str, permission: Permission | None = None) -> Architecture:
    """Return the architecture of this name; raise `CheckpointError` if it is not available.

    Without a `permission`, the name itself permits its code to be imported.
    """
    try:
        return (
            registry.named(name) if permission is None else registry.architecture(name, permission)
        )
    except (ArchitectureError, InstallationError) as error:
        raise CheckpointError(str(error)) from error


def build(
    architecture: Architecture,
    arguments: Mapping[str, Any],
    num_classes: int,
    state_dict: Mapping[str, Tensor],
) -> nn.Module:
    """Build the network and load its weights strictly; raise `CheckpointError` on a mismatch."""
    try:
        with Allowance(state_dict):
            network = architecture.build(num_classes, **arguments)
        network.load_state_dict(state_dict, strict=True)
    except TooLargeNetworkError as error:
        raise CheckpointError(f"architecture {architecture.name!r}: {error}") from error
    except (ArchitectureError, InstallationError, RuntimeError) as error:
        reason = " ".join(str(error).split())  # torch lists keys in lines of their own
        raise CheckpointError(reason[:2000]) from error
    return network


def network_of_graph(
    content: bytes, input: InputSpec, num_classes: int, threads: int | None
) -> graphs.OnnxNetwork:
    """Return the network that runs a graph; raise `CheckpointError` if it can't be used."""
    try:
        return graphs.load(content, input, num_classes, threads or torch.get_num_threads())
    except (GraphError, InstallationError) as error:
        raise CheckpointError(f"{GRAPH}: {error}") from error
