"""`export`: a published version → a file for other programs, checked against eager torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import torch
from rich.console import Console
from typing_extensions import Doc

from models import files, repositories
from models.registry import Completion
from training.commands import options
from training.exporting import format as exporting
from training.exporting.format import FORMATS, ExportError, Options


@dataclass(frozen=True)
class Export:
    """Write a published model as a file for other programs.

    What the file answers is compared with the network in torch before it appears.
    """

    model: options.ModelName
    """The model's name in the repository."""
    format: Annotated[str, Doc(exporting.describe()), Completion(FORMATS.names)] = "onnx"
    output: Annotated[Path | None, options.File(short="o")] = None
    """The file; by default NAME-VERSION in this folder, with the ending of the format."""
    version: int | None = None
    """Its version; by default the highest."""
    preprocessing: bool = False
    """Put normalisation and softmax inside: pixels 0 to 255 go in, probabilities come out."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    """Of the pixels, channels first or last."""
    force: bool = False
    """Replace the file if it is there."""
    repository: options.Repositories = field(default_factory=options.readable_repositories)
    architectures: options.Architectures = field(default_factory=options.architectures)

    def __call__(self, console: Console) -> None:
        form = FORMATS.get(self.format)
        loaded = repositories.load_named(
            self.repository,
            self.model,
            self.version,
            torch.device("cpu"),
            options.permission(self.architectures),
        )
        path = self.output if self.output is not None else exporting.usual_path(loaded, form)
        if path.is_dir():
            raise ExportError(f"{path} is a folder; give the name of a file as --output")
        if path.exists() and not self.force:
            raise ExportError(f"{path} is there already; give another --output, or --force")
        if not path.resolve().parent.is_dir():
            raise ExportError(f"there is no folder {path.parent} to write into; make it first")
        content, difference = exporting.exported(
            loaded, form, Options(self.preprocessing, self.layout)
        )
        files.write(path, content)
        console.print(
            f"{path}: {loaded.card.name}/{loaded.card.version} as {form.name}, {len(content):,} "
            f"bytes; its probabilities differ from torch's by {difference:.1g} at most"
        )
        if loaded.trust is not None and loaded.trust.second_look is not None:
            console.print(
                "it looks at an image once; the service looks again, mirrored, where the top "
                f"softmax probability is below {loaded.trust.second_look.below:.3g}"
            )
