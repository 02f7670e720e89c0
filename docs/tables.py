"""What the docs have from the code: `python -m docs.tables` writes it anew.

These are the tables, the tree of errors, and openapi.json, the document of the API.
A table stands between `<!-- table: NAME -->` and `<!-- end of table -->`, in README.md or in a page
of this folder.
"""

import importlib
import json
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.soak import bad_versions, faults, promises
from docs import reference
from models.architectures import registry as architectures
from models.errors import FanlightError
from models.graphs import operators
from models.images import formats as image_formats
from service.app import create_app
from service.errors import ServiceError
from service.inference.explain_methods import method as explain_methods
from service.inference.runtimes import registry as runtimes
from service.settings import Settings
from tests import tutorial_networks
from training.data import registry as data_sets
from training.exporting import format as export_formats

ROOT = Path(__file__).parents[1]
OPENAPI = ROOT / "docs" / "openapi.json"
PACKAGES = ("models", "training", "service")


def errors() -> str:
    """The family of errors as a tree, each with its module and what its docstring says first."""
    for package in map(importlib.import_module, PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):  # which is the program, not a part of it
                importlib.import_module(module.name)
    return "\n".join(_branch(FanlightError, ""))


def _branch(error: type[Exception], indent: str) -> list[str]:
    """The class and all below it, a line each."""
    about = (error.__dict__.get("__doc__") or "").split("\n\n")[0]
    status = f" {error.status}, {error.title}." if issubclass(error, ServiceError) else ""
    line = f"{indent}- `{error.__name__}` (`{error.__module__}`):{status} {' '.join(about.split())}"
    below = sorted(error.__subclasses__(), key=lambda each: (each.__module__, each.__name__))
    own = [each for each in below if each.__module__.partition(".")[0] in PACKAGES]
    return [line.rstrip(), *(each for error in own for each in _branch(error, f"{indent}  "))]


TABLES: dict[str, Callable[[], str]] = {
    "architectures": architectures.table,
    "bad versions": bad_versions.table,
    "card": reference.card,
    "client": reference.client,
    "commands": reference.commands,
    "data sets": data_sets.table,
    "explain methods": explain_methods.table,
    "errors": errors,
    "export formats": export_formats.table,
    "faults": faults.table,
    "figures": reference.metrics,
    "image formats": image_formats.table,
    "operations": reference.operations,
    "operators": operators.table,
    "promises": promises.table,
    "runtimes": runtimes.table,
    "settings": reference.settings,
    "soak": promises.last_run,
    "tutorial networks": tutorial_networks.table,
}
_TABLE = re.compile(r"(<!-- table: ([\w ]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def pages() -> list[Path]:
    """The files that may have tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def names(text: str) -> list[str]:
    """The tables that a page has, in their order."""
    return [name for _, name, _ in _TABLE.findall(text)]


def renewed(text: str) -> str:
    """The page with its tables as the registries have them; `KeyError` for an unknown table."""
    return _TABLE.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}", text)


def openapi() -> str:
    """The OpenAPI document, as JSON, of a service with default settings."""
    document = create_app(Settings.model_construct()).openapi()  # whatever the environment has
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    written = {page: renewed(page.read_text(encoding="utf-8")) for page in pages()}
    for file, content in {**written, OPENAPI: openapi()}.items():
        if not file.exists() or file.read_text(encoding="utf-8") != content:
            file.write_text(content, encoding="utf-8")
            print(file.relative_to(ROOT))  # noqa: T201


if __name__ == "__main__":
    main()
