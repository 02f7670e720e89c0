"""The type of an export format, the registry of all formats, and the check of an exported file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from models import checkpoint
from models.checkpoint import Checkpoint
from models.errors import FanlightError, OptionError
from models.graphs.editing import Layout
from models.registry import Parameters, Registry

TOLERANCE = 1e-4  # of probabilities, between the file and eager torch
_BATCHES = (1, 3)  # images; a file takes batches of any size
_SEED = 0


class ExportError(FanlightError):
    """A network that can't be written in a format, or a file that answers otherwise."""


@dataclass(frozen=True)
class Options:
    """The inputs and outputs of the exported file.

    Without `preprocessing` it takes normalised images, float32 (N, C, H, W), and returns logits.
    With it, it takes uint8 pixels and returns probabilities. `layout` is the order of the axes of
    these pixels: (N, C, H, W) or (N, H, W, C). It has no effect without `preprocessing`.
    """

    preprocessing: bool = False
    layout: Layout = "nchw"


@dataclass(frozen=True)
class ExportFormat:
    """A file format that networks can be exported to.

    `write` returns the bytes of the file. `open` returns a function that computes the probabilities
    (N, num_classes) of uint8 pixels (N, C, H, W) with the network in these bytes. `preprocessing`
    says whether the file can hold the normalisation, and `graphs` whether imported graphs can be
    exported.
    """

    name: str
    description: str
    suffix: str
    write: Callable[[Checkpoint, Options], bytes]
    open: Callable[[bytes, Checkpoint, Options], Callable[[Tensor], Tensor]]
    preprocessing: bool = False
    graphs: bool = False
    parameters: Parameters = field(default_factory=dict)


FORMATS = Registry[ExportFormat]("export format", package=__package__)


def describe() -> str:
    """The help of the option that takes a format."""
    return "; ".join(f"{each.name}: {each.description.rstrip('.')}" for each in FORMATS)


def table() -> str:
    """The formats as a Markdown table."""
    return FORMATS.table(
        {
            "format": lambda each: f"`{each.name}`",
            "what it is": lambda each: each.description,
            "file": lambda each: f"`{each.suffix}`",
            "`--preprocessing`": lambda each: "yes" if each.preprocessing else "no",
            "imported graphs": lambda each: "yes" if each.graphs else "no",
        }
    )


@torch.inference_mode()
def exported(loaded: Checkpoint, form: ExportFormat, options: Options) -> tuple[bytes, float]:
    """Return the file's bytes, and the largest difference of its probabilities from eager torch's.

    The difference is measured on the images of `probes`. Raises `ExportError` if the format can't
    hold the network or the options, or if the difference is above `TOLERANCE`.
    """
    card = loaded.card
    named = f"{card.name}/{card.version}"
    if options.preprocessing and not form.preprocessing:
        able = ", ".join(each.name for each in FORMATS if each.preprocessing)
        raise OptionError(f"--preprocessing is for {able}; {form.name} holds the network alone")
    if not loaded.has_gradients and not form.graphs:
        able = ", ".join(each.name for each in FORMATS if each.graphs)
        raise ExportError(
            f"{named} is an imported graph, which has no weights of torch: export it as {able}"
        )
    if options.layout != "nchw" and not options.preprocessing:
        raise OptionError("--layout is of the pixels that go in with --preprocessing; give both")
    try:
        with torch.inference_mode(False), torch.no_grad():
            content = form.write(loaded, options)
        run = form.open(content, loaded, options)
        differences = [(run(each) - expected(loaded, each)).abs().max() for each in probes(loaded)]
        difference = float(torch.stack(differences).max())  # NaN if one of them is
    except FanlightError:
        raise
    except Exception as error:  # exporters raise whatever they meet
        reason = " ".join(str(error).split())[:500] or type(error).__name__
        raise ExportError(
            f"{named} can't be written as {form.name}: {reason}; try another --format"
        ) from error
    if not difference <= TOLERANCE:
        raise ExportError(
            f"{named} as {form.name} answers otherwise than in torch, by {difference:.2g}; at most "
            f"{TOLERANCE:g} is accepted: nothing was written; try another --format"
        )
    return content, difference


def expected(loaded: Checkpoint, pixels: Tensor) -> Tensor:
    """Return the probabilities (N, num_classes) that the network itself computes in torch."""
    return probabilities(loaded.network(loaded.card.input.normalize(pixels)))


def probabilities(logits: Tensor) -> Tensor:
    return logits.float().softmax(1)


def probes(loaded: Checkpoint) -> Sequence[Tensor]:
    """Return test batches uint8 (N, C, H, W): the probes of `models.checkpoint`, and noise."""
    spec = loaded.card.input
    flat = [torch.from_numpy(pixels) for _, pixels in checkpoint.probes(spec)]
    generator = torch.Generator().manual_seed(_SEED)
    noise = [
        torch.randint(0, 256, (size, *spec.shape), dtype=torch.uint8, generator=generator)
        for size in _BATCHES
    ]
    return [torch.stack(flat), *noise]


def rebuilt(loaded: Checkpoint, state_dict: dict[str, Tensor]) -> nn.Module:
    """Build the network with these weights, in evaluation mode; raises `CheckpointError`."""
    card, architecture = loaded.card, loaded.architecture
    assert architecture is not None  # noqa: S101 (graphs are not written as weights)
    network = checkpoint.build(architecture, card.arguments, len(card.labels), state_dict)
    return network.eval()


def usual_path(loaded: Checkpoint, form: ExportFormat) -> Path:
    """Return the default name of the exported file, such as `mnist-1.onnx`."""
    return Path(f"{loaded.card.name}-{loaded.card.version}{form.suffix}")
