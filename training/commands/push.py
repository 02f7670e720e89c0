"""`push`: a published version → a repository elsewhere, or a folder; its card comes last."""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Annotated

import torch
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from models import checkpoint, repositories
from models.checkpoint import CARD, CheckpointError, Place
from models.errors import OptionError
from models.remote.address import Address, address_of
from models.remote.storage import INDEX, Storage, Stored
from training.commands import options


@dataclass(frozen=True)
class Push:
    """Copy a published version to a repository elsewhere, such as s3://bucket/models.

    The version is loaded and checked first. Its card is written last, so that nobody sees half of
    it. A version that is there with another content is not replaced. At the end index.json is
    written anew, which repositories on web servers (https://) need.
    """

    model: options.ModelName
    """The model's name in the repository."""
    destination: Annotated[str, options.Positional("destination")]
    """An address, or a folder: what --repository takes afterwards."""
    version: int | None = None
    """Its version; by default the highest."""
    repository: options.Repositories = field(default_factory=options.readable_repositories)
    architectures: options.Architectures = field(default_factory=options.architectures)

    def __call__(self, console: Console) -> None:
        storage = Storage(_address(self.destination))
        place = repositories.find(self.repository, self.model, self.version)
        loaded = checkpoint.load_named(
            place.root,
            self.model,
            place.number,
            torch.device("cpu"),
            options.permission(self.architectures),
        )
        target, files = f"{place.name}/{place.number}", sorted(loaded.stamps, key=_card_last)
        before = _listed(storage)
        if (there := before.get(target, {}).get(CARD)) is not None:
            _check_same(storage, there, loaded.stamps[CARD].sha256, target, place)
            console.print(f"{target} is at {storage.address} already, with the same content")
        else:
            self._copy(storage, place, target, files, console)
            console.print(f"pushed {target} to {storage.address}; serve it with")
            console.print(f"  fanlight serve --repository {storage.address}")
        index = {
            f"{each.place}/{each.name}": each.size
            for each in storage.listed()
            if each.place.count("/") == 1
        }
        content = json.dumps({"files": dict(sorted(index.items()))}, indent=2).encode()
        storage.write("", INDEX, BytesIO(content), lambda size: None)

    def _copy(
        self, storage: Storage, place: Place, target: str, files: list[str], console: Console
    ) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
            for name in files:
                path = place.folder / name
                task = bar.add_task(name, total=path.stat().st_size)
                with path.open("rb") as source:
                    storage.write(target, name, source, partial(bar.advance, task))


def _address(destination: str) -> Address:
    """Return where to push to; raise `OptionError` for a place that can't be written."""
    if not destination:
        raise OptionError("the destination is empty; give an address or a folder")
    address = address_of(destination)
    if address is None:
        return Address("file", str(Path(destination).absolute()))
    if address.is_web:
        raise OptionError(
            f"{address} can't be written to: push to the folder or bucket that the web server "
            "offers"
        )
    return address


def _listed(storage: Storage) -> dict[str, dict[str, Stored]]:
    found: dict[str, dict[str, Stored]] = defaultdict(dict)
    if storage.exists():
        for each in storage.listed():
            found[each.place][each.name] = each
    if own := [place for place in found if place.count("/") != 1 and CARD in found[place]]:
        raise CheckpointError(
            f"{storage.address} holds {own[0] or CARD}, a version without <model>/ above it: push "
            "to the folder above, or to another one"
        )
    return found


def _check_same(storage: Storage, there: Stored, sha256: str, target: str, place: Place) -> None:
    digest = hashlib.sha256()
    storage.read(there, digest.update)
    if digest.hexdigest() != sha256:
        raise CheckpointError(
            f"{storage.address} has another {target}, which is not replaced, since a published "
            f"version never changes: publish the model in {place.root} again, with a number that "
            f"is free there, or push to another place"
        )


def _card_last(name: str) -> bool:
    return name == CARD
