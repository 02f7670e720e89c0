"""Habits of the tests, read from their source: none sleeps, and none looks behind a public face."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SLEEPS = "waiting.py"  # the one file that may

ALLOWED = {
    "_asdict": "public, as the documentation of namedtuple says",
    "_replace": "as above",
    "_forward_hooks": "torch tells in no other way whether a module has hooks",
    "_forward_pre_hooks": "as above",
    "_backward_hooks": "as above",
    "_left_title": "matplotlib has no other way to the title on the left",
}
"""Private names that tests may read, each with its reason."""

ACCESSES = {"getattr", "hasattr", "setattr", "delattr", "patch", "object"}
"""Functions whose first or second argument may name an attribute."""


def called(call: ast.Call) -> str:
    """The name of the function, without its module."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def sleeps(tree: ast.AST) -> Iterator[ast.stmt | ast.expr]:
    """Calls of `sleep` with anything but 0, which only lets others have a turn."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(args=[ast.Constant(value=0)]):
                continue
            case ast.Call() if called(node) == "sleep":
                yield node


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in ALLOWED


def private_parts(tree: ast.AST) -> Iterator[ast.stmt | ast.expr]:
    """Attributes, imports and patches of a name with an underscore, save those of `self`, `cls`."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=name) if is_private(name):
                yield node
            case ast.ImportFrom(names=names) if any(is_private(each.name) for each in names):
                yield node
            case ast.Call(args=arguments) if called(node) in ACCESSES:
                texts = [each.value for each in arguments[:2] if isinstance(each, ast.Constant)]
                if any(is_private(name) for text in texts for name in str(text).split(".")):
                    yield node


def found_in(habit: Callable[[ast.AST], Iterator[ast.stmt | ast.expr]]) -> list[str]:
    """Where the files of the tests break the habit."""
    return [
        f"{path.relative_to(TESTS)}:{node.lineno}: {ast.unparse(node)}"
        for path in sorted(TESTS.rglob("*.py"))
        for node in habit(ast.parse(path.read_text()))
        if habit is not sleeps or path.name != SLEEPS
    ]


@pytest.mark.slow
def test_no_test_sleeps() -> None:
    """A sleep means "by now it has probably come": `tests/waiting.py` waits for it."""
    assert not found_in(sleeps)


@pytest.mark.slow
def test_no_test_reaches_into_private_parts() -> None:
    """What a test needs is public, or the test goes through what users see."""
    assert not found_in(private_parts)


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("import time; time.sleep(0.1)", 1),
        ("from asyncio import sleep\nasync def f(): await sleep(seconds)", 1),
        ("import asyncio\nasync def f(): await asyncio.sleep(0)", 0),
    ],
)
def test_sleeps_are_found(source: str, number: int) -> None:
    assert len(list(sleeps(ast.parse(source)))) == number


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("module._name", 1),
        ("self.batcher._run", 1),
        ("self._own, cls._own", 0),
        ("type(module).__name__", 0),
        ("network._forward_hooks", 0),
        ("from module import _name, other", 1),
        ("monkeypatch.setattr(module, '_name', 1)", 1),
        ("monkeypatch.setattr('package.module._name', 1)", 1),
        ("monkeypatch.setattr(module, 'name', 1)", 0),
        ("getattr(module, '_name', None)", 1),
        ("folder / '._0.png'", 0),
    ],
)
def test_private_parts_are_found(source: str, number: int) -> None:
    assert len(list(private_parts(ast.parse(source)))) == number
