"""Weights in several files, as Hugging Face writes large ones: index → each shard → one dict.

`model.safetensors.index.json` says in which file beside it each tensor lies.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from models import files
from models.errors import FanlightError
from models.files import UnsafeFileError

_INDEX = re.compile(r"(?P<stem>.+?)(\.safetensors|\.bin|\.pt|\.pth)?\.index\.json", re.DOTALL)
_SHARD = re.compile(
    r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.safetensors|\.bin|\.pth?)",
    re.DOTALL,
)
_MAX_INDEX_BYTES = 16 * 2**20  # some 100 bytes a tensor
_MAX_SHARDS = 1000
_SHOWN = 4  # names in a message


class ShardError(FanlightError):
    """An index, or a file of those that it names, that can't be taken."""


def is_index(path: Path) -> bool:
    return _INDEX.fullmatch(path.name) is not None


def stem(path: Path) -> str:
    """Return the name of an index without its endings."""
    found = _INDEX.fullmatch(path.name)
    return found["stem"] if found else path.stem


def of_several(path: Path) -> str | None:
    """Describe a file that is one of several, and what to do; None for one that stands alone."""
    found = _SHARD.fullmatch(path.name)
    if found is None or int(found["count"]) < 2:
        return None
    index = f"{found['stem']}{found['suffix']}.index.json"
    number, count = int(found["number"]), int(found["count"])
    if path.with_name(index).exists():
        return f"is file {number} of {count}: name their index, {path.with_name(index)}"
    return (
        f"is file {number} of {count}, and their index, {index}, is not beside it: put it "
        "there with the other files, and name it"
    )


def joined(path: Path, read: Callable[[Path], object]) -> dict[str, Tensor]:
    """Read the tensors that an index names, from the files beside it; `read` opens each of these.

    The index may name files of its own folder only. Raises `ShardError`, and what `read` raises.
    """
    places = _places(path)
    names = sorted(set(places.values()))
    for name in names:
        _check_beside(path, name)
    if missing := [name for name in names if not path.with_name(name).exists()]:
        raise ShardError(
            f"{path} names {len(names):,} files, and {len(missing):,} of them are not beside it: "
            f"{_listed(missing)}; put them there"
        )
    tensors: dict[str, Tensor] = {}
    for name in names:
        content = read(path.with_name(name))
        wanted = [each for each, place in places.items() if place == name]
        if not isinstance(content, Mapping):
            raise ShardError(f"{path.with_name(name)} has no weights; download it again")
        if lacking := [each for each in wanted if not isinstance(content.get(each), Tensor)]:
            raise ShardError(
                f"{path.with_name(name)} lacks tensors that {path.name} places there: "
                f"{_listed(lacking)}; the files are not of one download: get them again"
            )
        tensors |= {each: content[each] for each in wanted}
    return tensors


def _places(path: Path) -> dict[str, str]:
    """Read the index: the name of each tensor → the file in which it lies."""
    with path.open("rb") as file:
        content = file.read(_MAX_INDEX_BYTES + 1)
    if len(content) > _MAX_INDEX_BYTES:
        raise ShardError(f"{path} has more than {_MAX_INDEX_BYTES:,} bytes: no index of weights")
    try:
        index = json.loads(content)
    except (RecursionError, ValueError) as error:
        raise ShardError(f"{path} is no JSON; download it again") from error
    places = index.get("weight_map") if isinstance(index, dict) else None
    if (
        not isinstance(places, dict)
        or not places
        or not all(isinstance(name, str) for name in places.values())
    ):
        raise ShardError(f"{path} is no index of weights: it has no weight_map of names to files")
    if (count := len(set(places.values()))) > _MAX_SHARDS:
        raise ShardError(f"{path} names {count:,} files; at most {_MAX_SHARDS:,} are read")
    return places


def _check_beside(path: Path, name: str) -> None:
    """Raise `ShardError` for a file outside of the index's folder; one may be missing there."""
    if name in ("", "..") or Path(name).name != name or "\0" in name or is_index(Path(name)):
        raise ShardError(
            f"{path} names the file {name[:100]!r}: only files of weights in its own folder are "
            "read"
        )
    try:
        files.open_beneath(path.parent, name).close()
    except FileNotFoundError:
        return
    except UnsafeFileError as error:
        raise ShardError(f"{path}: {error}") from error


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name[:100]) for name in names[:_SHOWN]) + more
