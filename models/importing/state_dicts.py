"""The content of a saved file → the right state_dict in it, with notes on how it was chosen.

People save a state_dict alone, or with the optimizer, the epoch and settings around it.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from models.checkpoint.pickles import Inert
from models.importing import saved_files
from models.importing.saved_files import SavedFileError
from models.registry import proposal

AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
"""Keys of weights that were averaged over the training; they are preferred, as timm does."""
COUNTERS = ("n_averaged", "total_ops", "total_params")
"""Last parts of names of entries of no layer: of `AveragedModel`, of FLOP counters."""
_OF_OPTIMIZERS = ("optim", "lr_sched", "sched")  # keys that begin so have no weights
_ARRAY = "multiarray._reconstruct"  # of numpy: what makes an array in a pickle
_LONGEST = 80  # letters of a name in a message
_SHOWN = 6  # keys in a message


@dataclass(frozen=True)
class Found:
    """Names to tensors, and what was done to get them, in sentences for people."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def choose(content: object, path: Path, key: str | None = None) -> Found:
    """Choose the state_dict in the content of a saved file.

    `key` says where it lies: `model`, `nets.encoder`, `0`. Raises `SavedFileError` if there is no
    state_dict, or if several are possible.
    """
    places = list(_places(content))
    found = {place: each for place, each in places if isinstance(each, Mapping)}
    if key is not None:
        if key in found:
            return _cleaned(found[key])
        there = f"there are: {listed(found)}" if any(found) else "the file is one set of weights"
        raise SavedFileError(f"{path} has no weights under {key!r}; {proposal(key, found)}{there}")
    if not found:
        for _, each in places:
            if isinstance(each, Inert):
                raise saved_files.whole_network(path, each.name)
        if _has_arrays(content):
            raise SavedFileError(
                f"{path} holds arrays of numpy, not tensors. Make tensors of them where it was "
                "made: torch.save({name: torch.from_numpy(a) for name, a in weights.items()}, "
                "'weights.pt')"
            )
        raise SavedFileError(f"{path} has no weights: {_described(content)}")
    found = {place: each for place, each in found.items() if not _is_around(place, found)}
    averaged = [name for name in found if name.rpartition(".")[2] in AVERAGED]
    if len(found) > 1 and len(averaged) == 1:
        others = listed(name for name in found if name not in averaged)
        taken = (
            f"took {short(averaged[0])!r}, the averaged weights, not {others}; --key takes others"
        )
        return _cleaned(found[averaged[0]], taken)
    if len(found) > 1:
        raise SavedFileError(
            f"{path} has several sets of weights: {listed(found)}; choose one with --key"
        )
    [(name, state_dict)] = found.items()
    return _cleaned(state_dict, *([f"took the weights under {short(name)!r}"] if name else []))


def _places(content: object) -> Iterator[tuple[str, Mapping[object, object] | Inert]]:
    """Yield each dict of names to tensors, and each whole network, with its place in the content.

    A place is the keys of dicts and the numbers in lists that lead there, joined by dots. Entries
    of optimizers are skipped, and objects that were found at another place before: a small file can
    hold one dict at very many places, or a dict in itself.
    """
    waiting, seen = deque([("", content)]), {id(content)}
    while waiting:
        place, each = waiting.popleft()
        if isinstance(each, Inert) and saved_files.is_network(each):
            yield place, each
        for name, value in _entries(each):
            is_place = isinstance(value, Mapping | list | tuple | Inert)
            if is_place and not name.startswith(_OF_OPTIMIZERS) and id(value) not in seen:
                seen.add(id(value))
                waiting.append((f"{place}.{name}" if place else name, value))
        if isinstance(each, Mapping) and any(
            isinstance(value, Tensor) and value.ndim for value in each.values()
        ):
            yield place, each


def _entries(content: object) -> Iterator[tuple[str, object]]:
    """Yield the entries of a dict by their keys, and of a list by their numbers, from 0."""
    if isinstance(content, Mapping):
        yield from ((str(name), v) for name, v in content.items() if isinstance(name, str | int))
    elif isinstance(content, list | tuple):
        yield from ((str(index), value) for index, value in enumerate(content))


def _is_around(place: str, others: Iterable[str]) -> bool:
    """Return whether another place lies inside this one, which then has more than weights."""
    inside = f"{place}." if place else ""
    return any(each != place and each.startswith(inside) for each in others)


def _cleaned(state_dict: Mapping[object, object], *notes: str) -> Found:
    """Keep the tensors that a layer may have; note what is left out."""
    tensors = {
        name: value
        for name, value in state_dict.items()
        if isinstance(name, str)
        and isinstance(value, Tensor)
        and name.rpartition(".")[2] not in COUNTERS
    }
    if left_out := [str(name) for name in state_dict if name not in tensors]:
        notes += (f"left out {listed(left_out)}, which no layer needs",)
    return Found(tensors, notes)


def _has_arrays(content: object) -> bool:
    """Return whether a dict or list in it is mostly numpy arrays, which are read as `Inert`."""
    waiting, seen = deque([content]), {id(content)}
    while waiting:
        values = [value for _, value in _entries(waiting.popleft())]
        if 2 * sum(isinstance(v, Inert) and v.name.endswith(_ARRAY) for v in values) > len(values):
            return True
        for value in values:
            if isinstance(value, Mapping | list | tuple) and id(value) not in seen:
                seen.add(id(value))
                waiting.append(value)
    return False


def _described(content: object) -> str:
    if isinstance(content, Mapping):
        return f"its keys are {listed(map(str, content))}" if content else "it is an empty dict"
    if isinstance(content, Tensor):
        return f"it is one tensor of shape {tuple(content.shape)}, without names"
    if isinstance(content, list | tuple) and any(isinstance(each, Tensor) for each in content):
        return "it is a list of tensors without names; save network.state_dict()"
    kind = content.name if isinstance(content, Inert) else type(content).__name__
    return f"it holds an object of {kind}"


def short(name: str) -> str:
    """Shorten a name from a file for messages: on one line, without its middle if it is long."""
    name = name if name.isprintable() else ascii(name)[1:-1]
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 20]}…{name[-19:]}"


def listed(names: Iterable[str]) -> str:
    """List the first few names, and how many more there are."""
    every = [repr(short(name)) for name in names]
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more
