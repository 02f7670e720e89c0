"""The tables of the docs are those of the registries."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from docs import tables

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def renewed() -> dict[str, str]:
    """The pages as a process writes them in which tests have registered nothing."""
    script = (
        "import json; from docs import tables;"
        "print(json.dumps({str(p): tables.renewed(p.read_text('utf-8')) for p in tables.pages()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("page", tables.pages(), ids=lambda page: page.name)
def test_a_page_has_the_tables_of_today(page: Path, renewed: dict[str, str]) -> None:
    """`python -m docs.tables` writes them anew."""
    assert page.read_text(encoding="utf-8") == renewed[str(page)]


def test_the_document_of_the_api_is_that_of_today() -> None:
    """`python -m docs.tables` writes it anew."""
    assert tables.OPENAPI.read_text(encoding="utf-8") == tables.openapi()


def test_every_table_is_shown() -> None:
    shown = [name for page in tables.pages() for name in tables.names(page.read_text("utf-8"))]
    assert set(shown) == set(tables.TABLES)


def test_an_unknown_table_is_not_passed_over() -> None:
    with pytest.raises(KeyError, match="colours"):
        tables.renewed("<!-- table: colours -->\n<!-- end of table -->")


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    text = "one\n<!-- table: runtimes -->\nold\n<!-- end of table -->\ntwo\n"
    renewed = tables.renewed(text)
    assert renewed.startswith("one\n<!-- table: runtimes -->\n| runtime |")
    assert renewed.endswith("|\n<!-- end of table -->\ntwo\n")
    assert tables.renewed(renewed) == renewed
