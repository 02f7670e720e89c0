"""`import`: a state_dict made elsewhere → the next version of a model in the repository."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import torch
from rich.console import Console
from typing_extensions import Doc

from models import checkpoint
from models.architectures import registry
from models.checkpoint import CheckpointError
from training.commands import options
from training.recipes.arguments import Arguments


@dataclass(frozen=True)
class Import:
    """Publish a state_dict from elsewhere, saved with torch.save(network.state_dict(), …).

    Its names and shapes must match the architecture. The input is that of the architecture unless
    options change it.
    """

    weights: Annotated[Path, options.Positional()]
    """The file that torch.save wrote."""
    architecture: Annotated[str, Doc(registry.describe())]
    labels: tuple[str, ...]
    """The classes, two or more, in the order of the logits."""
    arguments: Annotated[Arguments, Doc(registry.describe_arguments())] = field(
        default_factory=dict
    )
    name: str | None = None
    """The model to publish; by default it is called like the file."""
    repository: options.PublishTo = field(default_factory=options.repository)
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
        name = self.name if self.name is not None else self.weights.stem
        checkpoint.check_name(name)
        checkpoint.check_labels(self.labels)
        architecture = registry.architecture(self.architecture)
        names = ("mean", "std", "height", "width", "resize")
        changes = {name: v for name in names if (v := getattr(self, name)) is not None}
        spec = architecture.input_for(self.arguments, **changes)
        state_dict = checkpoint.read_state_dict(self.weights, torch.device("cpu"))
        architecture.check(self.arguments)
        try:
            network = checkpoint.build(
                self.architecture, self.arguments, len(self.labels), state_dict
            )
        except CheckpointError as error:
            raise CheckpointError(
                f"{self.weights} does not fit {self.architecture} with {len(self.labels)} labels: "
                f"{error}"
            ) from error
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
            f"  fanlight serve --repository {self.repository}"
        )
