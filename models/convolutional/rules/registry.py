"""The rules by the name of torch's operator: `linear` names the rule of `aten.linear`."""

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from models.convolutional.tracing import Rule

_RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a function as the rule of these operators."""

    def register(found: Rule) -> Rule:
        _RULES.update(dict.fromkeys(names, found))
        return found

    return register


@cache
def _rules() -> dict[str, Rule]:
    """Return all rules, after importing every module of this package."""
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{__package__}.{module.name}")
    return _RULES


def rule_of(func: Any) -> Rule | None:
    """Return the rule of an operator, `pointwise` for any other elementwise one, else None."""
    rules = _rules()
    name = func.overloadpacket.__name__.strip("_")
    return rules.get(name) or (rules["pointwise"] if torch.Tag.pointwise in func.tags else None)
