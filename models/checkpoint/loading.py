"""A version's folder → a network in evaluation mode on its device."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from models.architectures.architecture import Architecture
from models.checkpoint.card import Card, read_with_stamp
from models.checkpoint.errors import CheckpointError
from models.checkpoint.folder import find
from models.checkpoint.network import GRAPH, WEIGHTS, build, named, network_of_graph
from models.checkpoint.place import CARD, Place
from models.checkpoint.stamps import FileStamp, opened
from models.checkpoint.state_dict import read_state_dict
from models.checkpoint.trial import trial
from models.features import PENULTIMATE, Layer, OpaqueNetwork, shapes
from models.graphs import network as graphs
from models.permission import NOTHING, Permission
from models.structure.reading import Structure
from models.trust import Trust, TrustError
from models.trust import file as trust_file


@dataclass(frozen=True)
class Checkpoint:
    """A network in evaluation mode on its device, with the card that describes it.

    `stamps` identify the files that it was read from, by name. `architecture` has built the
    network; it is None for a graph. `trust` is None where the card has no calibration.
    """

    card: Card
    network: nn.Module
    structure: Structure
    device: torch.device
    stamps: Mapping[str, FileStamp] = field(default_factory=dict)
    architecture: Architecture | None = None
    trust: Trust | None = None

    @property
    def layers(self) -> tuple[Layer, ...]:
        return self.structure.layers

    @property
    def has_gradients(self) -> bool:
        """Whether the network is one of torch, not a graph that ONNX Runtime runs."""
        return not isinstance(self.network, OpaqueNetwork)


def load(
    version: Path | Place,
    device: torch.device,
    max_bytes: int | None = None,
    permission: Permission = NOTHING,
    threads: int | None = None,
) -> Checkpoint:
    """Rebuild the network of a version's folder, in evaluation mode on the device.

    The user's own code, if the architecture is such, is imported only with `permission`. A graph
    runs on the CPU, whatever the device, with this number of `threads` (default: torch's).

    Raises `CheckpointError` if the card, the folder's name, the SHA-256 of the weights or of the
    trust, the names or shapes in them, or the number of labels don't fit, and for weights of more
    than `max_bytes`. The sizes that the files claim are checked before memory is allocated for
    them.
    """
    card, card_stamp = read_with_stamp(version)
    is_graph = card.architecture == graphs.ARCHITECTURE
    name = GRAPH if is_graph else WEIGHTS
    with opened(version, name) as file:
        stamp = FileStamp.of(file, card.weights_sha256)
        size = stamp.size
        if max_bytes is not None and size > max_bytes:
            raise CheckpointError(
                f"{name} has {size:,} bytes; at most {max_bytes:,} are loaded "
                "(setting max_checkpoint_bytes)"
            )
        if hashlib.file_digest(file, "sha256").hexdigest() != card.weights_sha256:
            raise CheckpointError(f"{name} does not have the SHA-256 that {CARD} states")
        if is_graph:
            file.seek(0)
            content = file.read(size)
        else:
            state_dict = read_state_dict(file, device)
    network: nn.Module
    architecture = None
    if is_graph:
        device = torch.device("cpu")
        network = network_of_graph(content, card.input, len(card.labels), threads)
    else:
        architecture = named(card.architecture, permission)
        network = build(architecture, card.arguments, len(card.labels), state_dict)
    network.to(device).eval()
    structure = trial(network, card.input, len(card.labels))
    stamps = {CARD: card_stamp, name: stamp}
    trust = None
    if card.calibration is not None:
        trust, stamps[trust_file.TRUST] = read_trust(version, card, structure.layers, device)
    return Checkpoint(card, network, structure, device, stamps, architecture, trust)


def read_trust(
    version: Path | Place, card: Card, layers: Sequence[Layer], device: torch.device
) -> tuple[Trust, FileStamp]:
    """Read the trust file of a card with calibration, for a network with these layers.

    Raises `CheckpointError` if the file doesn't have the SHA-256 that the card states, or fits
    neither the card nor the network.
    """
    assert card.calibration is not None  # noqa: S101 (the caller has looked)
    assert card.trust_sha256 is not None  # noqa: S101 (the card is valid)
    name = trust_file.TRUST
    try:
        with opened(version, name) as file:
            stamp = FileStamp.of(file, card.trust_sha256)
            trust_file.check_size(stamp.size)
            if hashlib.file_digest(file, "sha256").hexdigest() != card.trust_sha256:
                raise CheckpointError(f"{name} does not have the SHA-256 that {CARD} states")
            file.seek(0)
            trust = trust_file.read(file, card.calibration, card.familiarity, len(card.labels))
    except TrustError as error:
        raise CheckpointError(str(error)) from error
    if trust.method is not None:
        width, there = trust.method.width(), shapes(layers).get(PENULTIMATE)
        if width is not None and there != (width,):
            raise CheckpointError(
                f"{name} is of {width:,} penultimate features, but the network has "
                f"{there[0] if there else 'none'}"
            )
        trust.method.to(device)
    return trust, stamp


def load_named(
    repository: Path,
    name: str,
    version: int | None,
    device: torch.device,
    permission: Permission = NOTHING,
) -> Checkpoint:
    """Find and load a model's version; raise `CheckpointError`, whose message begins with the
    folder if loading fails."""
    place = find(repository, name, version)
    try:
        return load(place, device, permission=permission)
    except CheckpointError as error:
        raise CheckpointError(f"{place.folder}: {error}") from error
