"""`fanlight score`: a source of images and a model → a folder of rows."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import click
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typing_extensions import Doc

from fanlight import serve, train
from fanlight.fields import given, parameters
from fanlight.parameters import Command, Example
from fanlight.scoring import on_ray, processes
from fanlight.scoring.folder import MANIFEST, Folder, Manifest
from fanlight.scoring.scorer import Job
from fanlight.scoring.shards import Format
from fanlight.scoring.sources import opening, places
from fanlight.scoring.sources.source import InMemoryPiece, Source
from fanlight.scoring.work import Counts, Work
from models import checkpoint, devices, repositories
from models.checkpoint import Card
from models.errors import OptionError, masked
from models.registry import Completion
from models.remote.address import address_of
from service.process import cpu
from service.settings import Settings
from training.commands import options
from training.commands.options import Positional

EXAMPLES = (
    Example("fanlight score photos --model pets --out scored", "writes scored/part-000000.parquet"),
    Example("fanlight score 'photos/**/*.jpg' --model pets --out scored --format csv"),
    Example("fanlight score s3://bucket/photos --model pets --out scored", "needs s3fs"),
    Example("fanlight score 'train-*.parquet' --model pets --out scored --column image"),
    Example("fanlight score urls.csv --model pets --out scored --ray", "on a Ray cluster"),
)
_DEVICES_OF_RAY = ("auto", "cpu", "cuda")
_DECIDING = (
    *("runtime", "precision", "coverage", "familiarity_threshold"),
    *("max_batch_size", "max_image_pixels", "max_decode_time", "max_body_bytes"),
)
"""Settings that decide what is in a shard."""


@dataclass(frozen=True)
class Score:
    """Predict many images: a folder, a zip, a table of paths or URLs, of any size.

    Each image gets a row with its label, score, top labels, and, where the model is calibrated,
    familiarity, unsure, why and set, as the service would answer. An image that can't be read or
    decoded gets a row with the error. The rows are in the order of the source, in files of
    --shard-size rows. The same command goes on after an interruption: files that are there stay.

    The settings of the service decide here too: FANLIGHT_MAX_IMAGE_PIXELS, FANLIGHT_RUNTIME and so
    on. Images of up to FANLIGHT_MAX_BODY_BYTES are taken.
    """

    source: Annotated[str, Positional()]
    """A folder with all below it, a quoted glob, a zip, a CSV or Parquet of paths or URLs, or a
    Parquet of images; also as s3://, gs://, https:// and what else fsspec reads."""
    model: Annotated[str, Completion(options.model_names)]
    """The model's name in the repository."""
    out: Path
    """The folder to write to; made where there is none."""
    version: int | None = None
    """The model's version; by default the highest."""
    top_k: int = 5
    """How many labels each row lists, the most probable first."""
    format: Format = "parquet"
    """Parquet keeps types and lists; csv has lists as JSON."""
    column: str | None = None
    """The column of a table that has the images, or their paths; by default one of a usual name."""
    shard_size: int = 1000
    """Images in each file. What is interrupted loses no more than these for each process."""
    processes: int | None = None
    """Processes that score, each on one processor; by default as many as there are, one on a GPU.
    With --ray, the actors; by default one for each processor of the cluster."""
    ray: bool = False
    """Score on the Ray cluster of RAY_ADDRESS, or one that is started here; paths and repository
    must be readable on all its machines."""
    repository: options.Repositories = field(default_factory=options.readable_repositories)
    architectures: options.Architectures = field(default_factory=options.architectures)
    device: Annotated[
        str,
        Doc("auto, cpu, cuda or cuda:n; with --ray auto is cpu, and cuda a GPU for each actor."),
        Completion(lambda: ("auto", "cpu", "cuda")),
    ] = field(default_factory=lambda: os.environ.get("FANLIGHT_DEVICE") or "auto")

    def __post_init__(self) -> None:
        options.at_least_one(self, "version", "top_k", "shard_size", "processes")
        if address_of(self.out) is not None:
            raise OptionError(
                f"--out {self.out} is no folder of this machine: name one, and copy it from there"
            )
        if self.ray and self.device not in _DEVICES_OF_RAY:
            raise OptionError(
                f"--device {self.device} is not for --ray, which chooses the GPU of each actor; "
                f"take {', '.join(_DEVICES_OF_RAY)}"
            )
        if self.ray and places.is_in_memory(self.source):
            raise OptionError(f"{self.source} is in the memory of this process: leave out --ray")

    def __call__(self, console: Console) -> None:
        settings = self._settings()
        version = repositories.find(self.repository, self.model, self.version).absolute()
        card = checkpoint.read_card(version)
        source = opening.opened(self.source, self.column)
        if source.left_out:
            console.print(source.left_out)
        folder = Folder(self.out, self.format)
        manifest = self._manifest(source, card, settings)
        with folder.locked():
            missing = folder.missing_shards(manifest)
            there = manifest.shards - len(missing)
            if there:
                console.print(f"{there:,} of {manifest.shards:,} files are there already")
            if not missing:
                return
            job = Job(version, settings, self.top_k)
            self._score(console, job, source, manifest, missing, folder)

    def _settings(self) -> Settings:
        """Return the settings of the environment, without what is secret: Ray sends them on."""
        options.permission(self.architectures)  # says what is wrong, in words of the option
        try:
            device = "cpu" if self.ray and self.device == "auto" else self.device
            settings = Settings(architectures=self.architectures, device=device)
        except ValidationError as error:
            raise OptionError(serve.error_text(error, {"device": self.device})) from None
        return settings.model_copy(update={"api_key": None})

    def _manifest(self, source: Source, card: Card, settings: Settings) -> Manifest:
        deciding = settings.model_dump(mode="json", include=set(_DECIDING))
        given = masked(self.source).encode(errors="replace").decode()  # a path may be no UTF-8
        return Manifest(
            {"given": given, "kind": source.kind, "sha256": source.digest},
            {
                "name": card.name,
                "version": card.version,
                "weights_sha256": card.weights_sha256,
                "trust_sha256": card.trust_sha256,
            },
            {
                "top_k": self.top_k,
                "format": self.format,
                "device": settings.device if self.ray else devices.resolve(settings.device).type,
                **deciding,
            },
            len(source),
            self.shard_size,
        )

    def _score(
        self,
        console: Console,
        job: Job,
        source: Source,
        manifest: Manifest,
        missing: list[int],
        folder: Folder,
    ) -> None:
        started = time.monotonic()
        limits = [manifest.row_range(number) for number in missing]
        images = sum(stop - start for start, stop in limits)
        counts = Counts()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        ) as progress:
            task = progress.add_task("images", total=images)

            def tell(done: int) -> None:
                progress.update(task, completed=done)

            work = _work(source, manifest, missing, self.format, job.settings.max_body_bytes)
            if self.ray:
                found = on_ray.run(job, work, self.processes, tell)
            else:
                is_on_cpu = manifest.options["device"] == "cpu"
                usual = cpu.available_cpus() if is_on_cpu else 1  # a GPU is not shared
                count = min(self.processes or usual, len(missing))
                found = processes.run(job, work, count, tell)
            with closing(found):
                for each in found:
                    folder.write(each.number, each.content)
                    counts += each.counts
        console.print(_summary(counts, time.monotonic() - started, folder.path, manifest))


def _work(
    source: Source, manifest: Manifest, numbers: list[int], format: Format, most: int
) -> Iterator[Work]:
    for number in numbers:
        start, stop = manifest.row_range(number)
        piece = source.piece(start, stop)
        if any(map(places.is_in_memory, piece.locations)):
            piece = InMemoryPiece.of(piece, most)
        yield Work(number, start, piece, format)


def _summary(counts: Counts, seconds: float, folder: Path, manifest: Manifest) -> str:
    images = counts.answered + counts.failed
    unsure = f", {counts.unsure:,} of them unsure" if counts.unsure else ""
    parts = [
        f"{images:,} images in {seconds:.1f} s ({images / max(seconds, 1e-9):,.0f} a second)",
        f"{counts.answered:,} answered{unsure}",
    ]
    if counts.failed:
        parts.append(f"{counts.failed:,} not: the column error says why")
    count = f"{manifest.shards:,} file{'s' * (manifest.shards > 1)}"
    return f"{'; '.join(parts)}\nwritten to {folder}: {count} of rows, and {MANIFEST}"


def command() -> click.Command:
    @click.pass_context
    def callback(ctx: click.Context, /, **values: object) -> int:
        return train.run("score", train.build(Score, given(ctx)))

    return Command(
        "score",
        callback=callback,
        help=Score.__doc__,
        params=parameters(Score),
        examples=EXAMPLES,
    )
