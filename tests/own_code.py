"""Files of a user's own, in a working folder from which nothing else is importable."""

import sys
import textwrap
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

Write = Callable[..., str]
_NUMBERS = count()
HEAD = "import torch\nfrom torch import nn\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module into the working folder, and return its name, which no other has.

    What is imported meanwhile is forgotten at the end.
    """
    before, paths = set(sys.modules), list(sys.path)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(folder))])

    def write(text: str, name: str | None = None) -> str:
        name = name or f"nets{next(_NUMBERS)}"
        path = folder.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEAD + textwrap.dedent(text))
        return name

    yield write
    sys.path[:] = paths
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]
