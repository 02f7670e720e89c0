"""Architectures by name: name → `Architecture` → network.

The file of each family in this folder registers its networks with `@register`; name, description,
arguments and limits all stand there. The first lookup imports all of these files.
Plug-ins that are installed register theirs in the same way (entry points of
`models.permission.GROUP`). `torchvision/<name>` and `timm/<name>` are looked up in those libraries.
`package.module:Class` is the user's own code, which needs permission (`own_code`).
"""

import copy
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from torch import nn

from models.architectures import from_timm, from_torchvision, own_code
from models.architectures.architecture import Architecture, ArchitectureError
from models.architectures.own_code import CodeError
from models.permission import FORM, NOTHING, Permission, is_reference, plugins
from models.preprocessing import InputSpec
from models.registry import Registry

__all__ = ["Architecture", "ArchitectureError", "Permission", "register"]
TORCHVISION_PREFIX = from_torchvision.PREFIX
COLLECTIONS = {
    from_torchvision.PREFIX: from_torchvision.architecture,
    from_timm.PREFIX: from_timm.architecture,
}
"""Libraries of networks: the prefix of a name → the function that returns its architecture."""
OTHERS = (
    f"{TORCHVISION_PREFIX}<name> for any classifier of torchvision, {from_timm.PREFIX}<name> for "
    f"one of timm, {FORM} for a network of your own"
)


def load_plugins() -> dict[str, str]:
    """Import the plug-ins, which register their architectures; return those that fail, and why.

    An entry point that names a class or a function registers it under the entry point's name.
    """
    failed = {}
    for each in plugins():
        try:
            found = each.load()
            if each.attr and all(entry.factory is not found for entry in ARCHITECTURES):
                ARCHITECTURES.register(_of(each.name, found))
        except own_code.FAILURES as error:
            failed[each.name] = own_code.reason(error)
    return failed


ARCHITECTURES = Registry[Architecture](
    "architecture",
    package="models.architectures",
    error=ArchitectureError,
    hint=f"; and {OTHERS}",
    plugins=load_plugins,
)
Factory = TypeVar("Factory", bound=Callable[..., nn.Module])


def register(
    name: str, input: InputSpec, *, description: str | None = None
) -> Callable[[Factory], Factory]:
    """Register `factory(num_classes=…, **arguments)` as an architecture.

    Its docstring is the description, unless one is given. Raises `ValueError` if the name is taken.
    """

    def decorate(factory: Factory) -> Factory:
        about = description if description is not None else inspect.getdoc(factory) or ""
        entry = Architecture(name, input, factory, " ".join(about.split()))
        ARCHITECTURES.register(entry, stacklevel=2)
        return factory

    return decorate


def names() -> list[str]:
    """Return the names of the registered architectures, sorted, without torchvision's."""
    return ARCHITECTURES.names()


def complete() -> list[str]:
    """Return the names that shell completion offers: the registered ones and torchvision's."""
    return names() + [TORCHVISION_PREFIX + each for each in from_torchvision.names()]


def architecture(name: str, permission: Permission = NOTHING) -> Architecture:
    """Return the architecture of this name; raise `ArchitectureError` if there is none.

    The code of `package.module:Class` is imported only with permission.
    """
    for prefix, find in COLLECTIONS.items():
        if name.startswith(prefix):
            return find(name)
    if not is_reference(name):
        if "." in name and name not in ARCHITECTURES:
            module, _, last = name.removesuffix(".py").rpartition(".")
            raise ArchitectureError(
                f"no architecture {name!r}: a network of your own is {FORM}, such as "
                f"{module or last}:{last if module else 'Net'}"
            )
        return ARCHITECTURES.get(name)
    names()  # a plug-in may register it
    try:
        return _of(name, own_code.find(name, permission))
    except CodeError as error:
        failed = ArchitectureError(str(error))
        failed.__notes__ = getattr(error, "__notes__", [])
        raise failed from error


def named(name: str) -> Architecture:
    """Return the architecture named on the command line, which also permits its code to run."""
    return architecture(name, Permission.named(name))


def is_known(name: str) -> bool:
    """Return whether this can be an architecture's name; the names of other libraries' networks and
    of the user's code are judged by their form alone."""
    others = name.startswith(tuple(COLLECTIONS)) or is_reference(name)
    return others or name in ARCHITECTURES


def _of(name: str, found: Any) -> Architecture:
    """Return an architecture whose factory is a class, function or network of the user's code."""
    for each in ARCHITECTURES:
        if each.factory is found:
            return replace(each, name=name)
    if isinstance(found, nn.Module):
        about = f"A network of {type(found).__name__}."
        return Architecture(name, None, _Copies(found), about)
    about = " ".join((inspect.getdoc(found) or "").partition("\n\n")[0].split())
    if isinstance(found, type) and found.__doc__ is None:  # else it is that of nn.Module
        about = ""
    return Architecture(name, None, found, about or f"A network of the user's own: {name}.")


class _Copies:
    """A factory of copies of a network, with new weights in all layers that can reset theirs."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def __call__(self) -> nn.Module:
        network = copy.deepcopy(self._network)
        for module in network.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
        return network


def describe() -> str:
    """Return the help text of options that take an architecture."""
    return f"A network by name ({', '.join(names())}), or {OTHERS}."


def describe_arguments() -> str:
    """Return the help text of options that take an architecture's arguments."""
    arguments = "; ".join(
        f"{each.name}: {', '.join(each.parameters)}" for each in ARCHITECTURES if each.parameters
    )
    return (
        "Of the architecture, as NAME=JSON: hidden=[1000,1000] batchnorm=true. "
        f"There are {arguments}."
    )


def table() -> str:
    """The architectures as a Markdown table."""
    return ARCHITECTURES.table(
        {
            "architecture": lambda each: f"`{each.name}`",
            "what it is": lambda each: each.description,
            "input": lambda each: "×".join(map(str, each.stated.shape)) if each.stated else "any",
            "arguments": lambda each: (
                "; ".join(_argument_text(*pair) for pair in each.parameters.items()) or "none"
            ),
        }
    )


def _argument_text(name: str, schema: Mapping[str, Any]) -> str:
    """Describe an argument for the table: `dropout`, number from 0 to 1 (default 0.0)."""
    of = schema.get("items", schema)
    words = [f"{of.get('type', 'any')}{'s' if 'items' in schema else ''}"]
    words += [f"from {of['minimum']}"] if "minimum" in of else []
    words += [f"to {of['maximum']}"] if "maximum" in of else []
    words += [" or ".join(map(json.dumps, of["enum"]))] if "enum" in of else []
    words += [f"(default {json.dumps(schema['default'])})"] if "default" in schema else []
    return f"`{name}`, {' '.join(words)}"
