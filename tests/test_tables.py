"""The tables of the docs are those of the registries."""

from pathlib import Path

import pytest

from docs import tables
from models.architectures.registry import ARCHITECTURES


@pytest.mark.parametrize("page", tables.pages(), ids=lambda page: page.name)
def test_a_page_has_the_tables_of_today(page: Path) -> None:
    """`python -m docs.tables` writes them anew."""
    text = page.read_text(encoding="utf-8")
    with ARCHITECTURES.restored():
        ARCHITECTURES.discard("tiny")  # which tests register
        assert text == tables.renewed(text)


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
