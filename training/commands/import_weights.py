"""`import`: a state_dict made elsewhere → the next version of a model in the repository."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from rich.console import Console

from models import checkpoint, registry
from training.arguments import Arguments
from training.commands import options


@dataclass(frozen=True)
class Import:
    """Publish a state_dict made elsewhere, saved with torch.save(network.state_dict(), …).

    Its names and shapes must be those of the architecture. The input is the architecture's own,
    unless told otherwise.
    """

    weights: Annotated[Path, tyro.conf.Positional]
    """The file that torch.save wrote."""
    architecture: str
    """A network by its name in models/registry.py, or torchvision/<name>."""
    labels: tuple[str, ...]
    """The classes, in the order of the logits."""
    arguments: Arguments = field(default_factory=dict)
    """Of the architecture, as NAME=JSON: hidden=[1000,1000] batchnorm=true."""
    name: str | None = None
    """The model to publish; by default it is called like the file."""
    repository: Path = field(default_factory=options.repository)
    """The model repository to publish to (or set FANLIGHT_REPOSITORY)."""
    mean: tuple[float, ...] | None = None
    """Subtracted from pixels in [0, 1]: one value, or one a channel."""
    std: tuple[float, ...] | None = None
    """Divided by afterwards: one value, or one a channel."""
    height: int | None = None
    """Of the input, in pixels."""
    width: int | None = None
    """Of the input, in pixels."""
    resize: Literal["crop", "stretch"] | None = None
    """The rule for pictures of other proportions: the largest centred part, or all of it."""

    def __call__(self, console: Console) -> None:
        name = self.name or self.weights.stem
        checkpoint.check_name(name)
        architecture = registry.architecture(self.architecture)
        names = ("mean", "std", "height", "width", "resize")
        told = {name: v for name in names if (v := getattr(self, name)) is not None}
        spec = architecture.input_for(self.arguments, **told)
        state_dict = checkpoint.read_state_dict(self.weights, torch.device("cpu"))
        network = checkpoint.build(self.architecture, self.arguments, len(self.labels), state_dict)
        card = checkpoint.publish(
            self.repository,
            network,
            name=name,
            architecture=self.architecture,
            arguments=self.arguments,
            labels=self.labels,
            input=spec,
        )
        console.print(
            f"published {card.name}/{card.version} in {self.repository}; serve it with\n"
            f"  python -m service --repository {self.repository}"
        )
