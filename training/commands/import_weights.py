"""`import`: weights that were saved elsewhere → the next version of a model in the repository."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import torch
from rich.console import Console
from typing_extensions import Doc

from models import checkpoint, repositories
from models.architectures import inputs, outputs, registry
from models.checkpoint import CheckpointError
from models.errors import OptionError
from models.importing import names, saved_files, state_dicts
from models.preprocessing import InputSpec
from models.registry import Completion
from models.trust import Fitted
from training.commands import import_graph, options
from training.recipes.arguments import Arguments

MAX_LABELS_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Import:
    """Publish weights that were saved elsewhere, by torch.save or as safetensors, or an ONNX graph.

    Finds the state_dict in the file, also inside a training checkpoint, and renames its tensors
    to the names that the architecture uses. Prints each change. Runs no code of the file. The
    network gets the input size of the architecture unless options change it.
    """

    weights: Annotated[Path, options.Positional()]
    """The file."""
    architecture: Annotated[
        str | None, Doc(registry.describe() + " An ONNX graph needs none."),
        Completion(registry.complete),
    ] = None  # fmt: skip
    labels: tuple[str, ...] = ()
    """The classes, in the order of the logits; or a file of them: one a line, or JSON. A graph that
    Fanlight has exported brings them along."""
    arguments: Annotated[Arguments, Doc(registry.describe_arguments())] = field(
        default_factory=dict
    )
    name: str | None = None
    """The model to publish; by default it is called like the file."""
    repository: options.PublishTo = field(default_factory=options.repository)
    key: str | None = None
    """Where the weights lie in the file, as in model or nets.encoder; by default they are found."""
    strip_prefix: str | None = None
    """What the names of the weights begin with; by default it is found."""
    by_order: bool = False
    """Take tensors in their order where their shapes fit and their names don't."""
    new_head: bool = False
    """Leave out the last layer, for other labels; train the new one with `fit --pretrained`."""
    labels_changed: options.LabelsChanged = False
    mean: tuple[float, ...] | None = None
    """Subtracted from pixels in [0, 1]: one value, or one a channel."""
    std: tuple[float, ...] | None = None
    """Divided by afterwards: one value, or one a channel."""
    channels: int | None = None
    """Of the input: 1 for grey, 3 for colours; by default those of the architecture."""
    height: int | None = None
    """Of the input, in pixels."""
    width: int | None = None
    """Of the input, in pixels."""
    resize: Literal["crop", "stretch"] | None = None
    """The rule for pictures of other proportions: the largest centred part, or all of it."""
    resize_size: int | None = None
    """Scale pictures until their shorter side has so many pixels, and cut the input out of it."""
    interpolation: Literal["bilinear", "bicubic"] | None = None
    """The filter that scales; by default that of the architecture, or else bilinear."""
    layout: Literal["nchw", "nhwc"] | None = None
    """Whether an ONNX graph takes channels first or last; by default this is read from it."""
    graph_output: str | None = None
    """Which output of an ONNX graph has a number for each class, if it has several."""
    gives: Literal["logits", "probabilities"] | None = None
    """What an ONNX graph returns; by default this is read from its last operator."""

    def __post_init__(self) -> None:
        if not self.weights.exists():
            raise OptionError(f"there is no file {self.weights}: correct the path")
        if import_graph.is_graph(self.weights):
            return
        if self.architecture is None:
            raise OptionError("weights need --architecture, the network that they are of")
        registry.named(self.architecture)
        if not self.labels:
            raise OptionError("weights need --labels, the classes in the order of the logits")
        if self.layout or self.graph_output or self.gives:
            raise OptionError("--layout, --graph-output and --gives are for ONNX graphs")

    def __call__(self, console: Console) -> None:
        if self.architecture is None or import_graph.is_graph(self.weights):
            import_graph.run(self, console)
            return
        labels = read_labels(self.labels)
        checkpoint.check_labels(labels)
        architecture = registry.named(self.architecture)
        changed = (
            *("mean", "std", "channels", "height", "width", "resize", "resize_size"),
            "interpolation",
        )
        changes = {name: v for name in changed if (v := getattr(self, name)) is not None}
        spec = architecture.input_for(self.arguments, **changes)
        content = saved_files.read(self.weights)
        found = state_dicts.choose(content, self.weights, self.key)
        name = self.name if self.name is not None else saved_files.name_of(self.weights)
        checkpoint.check_name(name)
        checkpoint.check_target(self.repository, name)
        if not self.labels_changed:
            repositories.check_same_labels(self.repository, name, labels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # a new head is the same each time
            network = architecture.build(len(labels), **self.arguments)
        if architecture.classes is None:  # its head may be of another size than there are labels
            checkpoint.trial(network.eval(), spec, len(labels))
        try:
            fitting = names.fit(
                found.tensors,
                network.state_dict(),
                architecture=self.architecture,
                strip_prefix=self.strip_prefix,
                by_order=self.by_order,
                has_order=saved_files.keeps_order(self.weights),
                head="ours" if self.new_head else "theirs",
            )
        except names.MismatchError as error:
            raise CheckpointError(f"{self.weights}: {error}") from error
        network.load_state_dict(fitting.tensors)
        card = checkpoint.publish(
            self.repository,
            network,
            name=name,
            architecture=self.architecture,
            arguments=self.arguments,
            labels=labels,
            input=spec,
            trust=Fitted(None, (checkpoint.IMPORTED,)),
        )
        notes = [*found.notes, *fitting.notes]
        if architecture.stated is None and not {"channels", "height", "width"} <= changes.keys():
            notes.append(_worked_out(spec, architecture.takes(self.arguments).of(spec.channels)))
        if architecture.stated is None and not {"mean", "std"} <= changes.keys():
            notes.append(import_graph.normalisation(spec))
        if inputs.is_flattened(network):
            notes.append("images are flattened before the first layer, which is linear")
        if left_out := outputs.left_out(network, spec):
            notes.append(left_out)
        for note in notes:
            console.print(note, markup=False, highlight=False)
        console.print(
            f"published {card.name}/{card.version} in {self.repository}; serve it with\n"
            f"  fanlight serve{options.to_open(self.repository, self.architecture)}"
        )


def _worked_out(spec: InputSpec, others: str) -> str:
    more = f"; {others}: --height and --width choose" if others else ""
    shape = "×".join(map(str, spec.shape))
    return f"the input was worked out from the network: {shape}{more}"


def read_labels(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return the labels; if the only one is the path of a file, read them from it.

    The file has one label a line, a JSON list, or a JSON object of indices to labels, in which a
    label may be the last of a list, as in ImageNet's. Raises `OptionError`.
    """
    if len(given) != 1 or not Path(given[0]).is_file():
        return given
    file = Path(given[0])
    try:
        if file.stat().st_size > MAX_LABELS_BYTES:
            raise OptionError(
                f"{file} is larger than {MAX_LABELS_BYTES:,} bytes: no list of labels"
            )
        text = file.read_text("utf-8-sig")
        content = json.loads(text) if text.lstrip()[:1] in ("[", "{") else text.splitlines()
    except (OSError, ValueError) as error:
        raise OptionError(f"{file} can't be read as a list of labels: {error}") from error
    if isinstance(content, Mapping):
        try:
            content = [content[str(index)] for index in range(len(content))]
        except KeyError as error:
            raise OptionError(f"{file} has no label {error}: it counts from 0") from error
        content = [each[-1] if isinstance(each, list) and each else each for each in content]
    while content and not str(content[-1]).strip():  # a line feed at the end
        content.pop()
    if not all(isinstance(each, str) for each in content):
        raise OptionError(f"{file} has labels that are not text")
    return tuple(each.strip() for each in content)
