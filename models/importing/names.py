"""Renaming: the names and shapes of a state_dict from elsewhere → those of a network of ours.

Names differ by what wrapped the network when it was saved (`module.`, `_orig_mod.`, `model.`), or
altogether. They are matched only where one way is possible; notes say what was changed.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from models.errors import FanlightError
from models.importing.state_dicts import Found, listed, short

WRAPPERS = frozenset(
    ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
)
"""Parts of names that DataParallel, torch.compile, FSDP and others put in."""
_AUXILIARY = "aux"  # how the names of torchvision's auxiliary heads begin, whatever their case
_COUNTER = "num_batches_tracked"  # of a BatchNorm; old files lack it
Head = Literal["theirs", "ours", "theirs if it fits"]
_SHOWN = 4  # pairs of names in a note


class Order(NamedTuple):
    """The order of a file's tensors.

    `is_known`: it is the order in which the layers were defined. `is_asked_for`: the user wants
    tensors to be matched by it.
    """

    is_known: bool
    is_asked_for: bool


class MismatchError(FanlightError):
    """Weights that don't fit a network; the message has the one cause and what to do."""


def fit(
    tensors: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    *,
    architecture: str,
    strip_prefix: str | None = None,
    by_order: bool = False,
    has_order: bool = True,
    head: Head = "theirs",
) -> Found:
    """Rename and convert the tensors to the names and number types of the state_dict `own`.

    `strip_prefix` keeps only names with this prefix, and removes it. `by_order` matches tensors of
    equal shapes in their order, whatever their names; `has_order` is False if their order means
    nothing. `head` says whose last layer is kept. Raises `MismatchError`.
    """
    notes: list[str] = []
    renamed = dict(tensors)
    if strip_prefix is not None:
        renamed = _stripped(renamed, strip_prefix, notes)
    _check_plain(renamed)
    renamed = _without_wrappers(renamed, own, notes)
    needed = [name for name in own if not name.endswith(_COUNTER)]
    if not set(needed) <= renamed.keys() and strip_prefix is None:
        renamed = _under_one_prefix(renamed, needed, notes)
    if {name for name in renamed if not name.endswith(_COUNTER)} != set(needed):
        order = Order(has_order, by_order)
        renamed = _matched(renamed, needed, own, architecture, order, notes)
    _check_shapes(renamed, own, architecture, head, notes)
    found = {name: renamed.get(name, value) for name, value in own.items()}
    return Found(_converted(found, own, notes), tuple(notes))


def _stripped(tensors: dict[str, Tensor], prefix: str, notes: list[str]) -> dict[str, Tensor]:
    kept = {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix) and name != prefix
    }
    if not kept:
        first = sorted({name.partition(".")[0] + "." for name in tensors})
        raise MismatchError(f"no name begins with {prefix!r}; they begin with {listed(first)}")
    if others := [name for name in tensors if not name.startswith(prefix)]:
        notes.append(f"left out {listed(others)}, which do not begin with {prefix!r}")
    return kept


def _check_plain(tensors: Mapping[str, Tensor]) -> None:
    """Raise `MismatchError` for tensors without plain numbers: on `meta`, nested, quantised,
    complex or sparse. Reading the shape of some would fail."""
    for name, value in tensors.items():
        if value.is_meta:
            raise MismatchError(
                f"{short(name)} has no values: it was on the device 'meta' when it was saved. Load "
                "the network's weights first, and save it again"
            )
        if value.is_nested:
            raise MismatchError(f"{short(name)} is a nested tensor: save it as plain numbers")
        if value.is_quantized or value.is_complex() or value.layout != torch.strided:
            raise MismatchError(
                f"{short(name)} is quantised, complex or sparse: save it as plain numbers "
                "(dequantize(), real, to_dense())"
            )


def _without_wrappers(
    tensors: dict[str, Tensor], own: Mapping[str, Tensor], notes: list[str]
) -> dict[str, Tensor]:
    taken_out = WRAPPERS - {part for name in own for part in name.split(".")}
    found: dict[str, Tensor] = {}
    seen: set[str] = set()
    for name, value in tensors.items():
        parts = name.split(".")
        seen |= taken_out.intersection(parts)
        found[".".join(part for part in parts if part not in taken_out)] = value
    if not seen or len(found) < len(tensors):
        return tensors
    notes.append(f"took {listed(f'{part}.' for part in sorted(seen))} out of the names")
    return found


def _under_one_prefix(
    tensors: dict[str, Tensor], needed: list[str], notes: list[str]
) -> dict[str, Tensor]:
    """Keep the tensors under the one prefix below which all needed names are.

    If there is none, all tensors are kept; raises `MismatchError` if there are several.
    """
    longest = max(needed, key=len, default="")
    prefixes = [
        name.removesuffix(longest)
        for name in tensors
        if name.endswith(f".{longest}")
        and {name.removesuffix(longest) + n for n in needed} <= tensors.keys()
    ]
    if len(prefixes) > 1:
        options = " or ".join(f"--strip-prefix {short(prefix)}" for prefix in prefixes)
        raise MismatchError(f"the file has {len(prefixes)} sets of weights that fit: {options}")
    if not prefixes:
        return tensors
    [prefix] = prefixes
    notes.append(f"took {short(prefix)!r} off the names")
    return _stripped(tensors, prefix, notes)


def _matched(
    tensors: dict[str, Tensor],
    needed: list[str],
    own: Mapping[str, Tensor],
    architecture: str,
    order: Order,
    notes: list[str],
) -> dict[str, Tensor]:
    """Rename tensors by their shapes, if each fits one place only; else by the numbers in their
    names, or, if asked for, by their order."""
    there = [name for name in tensors if not name.endswith(_COUNTER)]
    ours = [_signature(name, own[name]) for name in needed]
    theirs = [_signature(name, tensors[name]) for name in there]
    if Counter(ours) != Counter(theirs):
        raise MismatchError(_what_differs(tensors, needed, own, architecture))
    place = dict(zip(_with_layers(needed, ours), needed, strict=True))
    fitting = [place.get(each) for each in _with_layers(there, theirs)]
    if len(place) == len(needed) and None not in fitting:
        pairs = [(name, each) for name, each in zip(there, fitting, strict=True) if each]
        how = "each layer's shapes fit one place only"
    elif renumbered := _renumbered(tensors, there, needed, own):
        pairs, how = renumbered, "only the numbers differ, and keep their order"
    elif order.is_asked_for and not order.is_known:
        raise MismatchError(
            "the file does not keep the order of its tensors (safetensors sorts them by name), so "
            f"--by-order can't follow it: rename the entries, to {listed(needed)}, or save the "
            "state_dict with torch.save"
        )
    elif ours != theirs or not order.is_known:
        raise MismatchError(
            f"the shapes are those of {architecture}, but the names and the order are others, such "
            f"as {short(there[0])!r}, and several places have one shape: rename the entries, to "
            f"{listed(needed)}"
        )
    elif not order.is_asked_for:
        raise MismatchError(
            f"the shapes are those of {architecture} in the same order, but the names are others: "
            f"{short(there[0])!r} would be {needed[0]!r}. If the layers were defined in the order "
            "in which they are used, --by-order takes them so"
        )
    else:
        pairs, how = list(zip(there, needed, strict=True)), "in their order"
    shown = ", ".join(f"{short(theirs)} → {ours}" for theirs, ours in pairs[:_SHOWN])
    more = f" and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
    notes.append(f"renamed, {how}: {shown}{more}")
    return {ours: tensors[theirs] for theirs, ours in pairs}


def _signature(name: str, value: Tensor) -> tuple[str, torch.Size]:
    return name.rpartition(".")[2], value.shape


def _renumbered(
    tensors: Mapping[str, Tensor], there: list[str], needed: list[str], own: Mapping[str, Tensor]
) -> list[tuple[str, str]]:
    """Return pairs of names that differ in their numbers only, in order; [] if not all do.

    The numbers are those of nn.Sequential, whose order is that of the forward pass.
    """

    def words(name: str) -> list[str]:
        return [part for part in name.split(".") if not part.isdigit()]

    def place(name: str) -> tuple[list[str], list[int]]:  # a file may have them in any order
        return words(name), [int(part) for part in name.split(".") if part.isdigit()]

    pairs = list(zip(sorted(there, key=place), sorted(needed, key=place), strict=True))
    fit = all(
        words(one) == words(other) and tensors[one].shape == own[other].shape
        for one, other in pairs
    )
    return pairs if fit else []


def _with_layers(
    names: list[str], signatures: list[tuple[str, torch.Size]]
) -> list[tuple[object, ...]]:
    """Return each signature together with those of all tensors in the same layer."""
    layers = defaultdict[str, list[tuple[str, torch.Size]]](list)
    for name, each in zip(names, signatures, strict=True):
        layers[name.rpartition(".")[0]].append(each)
    found = zip(names, signatures, strict=True)
    return [(*each, frozenset(layers[name.rpartition(".")[0]])) for name, each in found]


def _instead(missing: list[str]) -> str:
    """Return what the reason may be if a file lacks these tensors."""
    if all(name.lower().startswith(_AUXILIARY) for name in missing):
        return (
            "these are the auxiliary heads, which only training needs: add "
            "--arguments aux_logits=false"
        )
    return "it is another network, or --arguments are missing"


def _what_differs(
    tensors: Mapping[str, Tensor], needed: list[str], own: Mapping[str, Tensor], architecture: str
) -> str:
    """Describe in one sentence how the names in the file differ from those needed."""
    missing = [name for name in needed if name not in tensors]
    unknown = [name for name in tensors if name not in own and not name.endswith(_COUNTER)]
    if not missing:
        return (
            f"the file has more than {architecture}, {len(unknown)} tensors: {listed(unknown)}; "
            "it is another network, or --arguments are missing"
        )
    if not unknown:
        return (
            f"the file lacks {len(missing)} of the {len(needed)} tensors of {architecture}: "
            f"{listed(missing)}; {_instead(missing)}"
        )
    return (
        f"it is another network: of the {len(needed)} tensors of {architecture} the file has "
        f"{len(needed) - len(missing)}; it lacks {missing[0]!r} {_shape(own[missing[0]])}, and has "
        f"{short(unknown[0])!r} {_shape(tensors[unknown[0]])}"
    )


def _check_shapes(
    tensors: dict[str, Tensor],
    own: Mapping[str, Tensor],
    architecture: str,
    whose_head: Head,
    notes: list[str],
) -> None:
    """Remove the file's head if ours is wanted; raise `MismatchError` if a shape differs."""
    last = next((name for name in reversed(list(own)) if not name.endswith(_COUNTER)), "")
    head = [name for name in own if name.rpartition(".")[0] == last.rpartition(".")[0]]
    fits = all(tensors[n].shape == own[n].shape for n in head if n in tensors)
    if whose_head == "ours" or (whose_head == "theirs if it fits" and not fits):
        for name in head:
            tensors.pop(name, None)
        notes.append(
            f"{last.rpartition('.')[0]} is new: the answers mean nothing before it is trained"
        )
    different = [n for n, value in own.items() if n in tensors and tensors[n].shape != value.shape]
    if not different:
        return
    if set(different) <= set(head) and all(
        tensors[name].shape[1:] == own[name].shape[1:] for name in different
    ):
        outputs, labels = len(tensors[last]), len(own[last])
        if outputs == 1:
            raise MismatchError(
                f"the head has one output, and there are {labels:,} labels: one number tells two "
                "classes apart in an ONNX graph alone: export the network to one and import that, "
                "or --new-head gives a new one, to be trained"
            )
        raise MismatchError(
            f"the head has {outputs:,} outputs, and there are {labels:,} labels: --labels needs "
            f"{outputs:,} names, or --new-head gives a new one, to be trained"
        )
    name = different[0]
    theirs, ours = tensors[name], own[name]
    why = ""
    if theirs.ndim == 4 == ours.ndim and theirs.shape[1] != ours.shape[1]:
        why = f": it takes {theirs.shape[1]} channels where {architecture} takes {ours.shape[1]}"
    raise MismatchError(
        f"{name} has the shape {_shape(theirs)} in the file, and {_shape(ours)} in {architecture}"
        f"{why} ({len(different)} of {len(own)} tensors differ); --arguments may change it"
    )


def _shape(value: Tensor) -> str:
    return "×".join(map(str, value.shape)) or "one number"


def _converted(
    tensors: dict[str, Tensor], own: Mapping[str, Tensor], notes: list[str]
) -> dict[str, Tensor]:
    """Convert the tensors to the number types of the network `own`.

    Raises `MismatchError` for whole numbers in place of floating-point ones, and for values that
    are not finite.
    """
    changed = {
        f"{value.dtype} to {own[name].dtype}".replace("torch.", "")
        for name, value in tensors.items()
        if value.dtype != own[name].dtype
    }
    for name, value in tensors.items():
        if own[name].is_floating_point() and not value.is_floating_point():
            raise MismatchError(
                f"{name} has whole numbers ({value.dtype}), as quantised weights have, which mean "
                "nothing without their scale: save it as plain numbers".replace("torch.", "")
            )
        whole = value.float() if value.element_size() == 1 else value  # isfinite lacks eight bits
        if value.is_floating_point() and not whole.isfinite().all():
            raise MismatchError(f"{name} has values that are not finite: the training went wrong")
    if changed:
        notes.append(f"converted {', '.join(sorted(changed))}")
    return {name: value.to(own[name].dtype) for name, value in tensors.items()}
