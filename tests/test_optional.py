"""What need not be there is `None`: an empty string is a value like any other."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(
    f for each in ("models", "training", "service", "fanlight") for f in (ROOT / each).rglob("*.py")
)
# parameters and fields whose empty text is a text: it is shown as it is
TEXTS = {"about", "hint", "reported", "earlier", "remark", "setup"}


def empty_defaults(tree: ast.Module) -> set[str]:
    """The parameters and fields whose default is an empty string."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and is_empty(node.value):
            found.add(ast.unparse(node.target))
        if isinstance(node, ast.arguments):
            named = [*node.posonlyargs, *node.args][-len(node.defaults) or None :]
            pairs = [*zip(named, node.defaults, strict=False)]
            pairs += zip(node.kwonlyargs, node.kw_defaults, strict=True)  # type: ignore[arg-type]
            found |= {argument.arg for argument, default in pairs if is_empty(default)}
    return found


def is_empty(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value == ""


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_empty_string_stands_for_none(file: Path) -> None:
    assert empty_defaults(ast.parse(file.read_text())) <= TEXTS


def test_such_defaults_are_found() -> None:
    program = "def f(a, b='', *, c='', d='x'): ...\nclass C:\n    e: str = ''\n    f: str = 'y'\n"
    assert empty_defaults(ast.parse(program)) == {"b", "c", "e"}
