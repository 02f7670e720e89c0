"""Tables that a spreadsheet opens compute nothing that a file was named."""

import csv
import io

import pytest

from training import spreadsheet


def cells(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def test_rows_come_back_as_they_are() -> None:
    rows = [("a, b", 'c"d', 3), ("two\nlines", "", 0.5)]
    found = cells(spreadsheet.as_csv(("x", "y", "z"), rows))
    assert found == [["x", "y", "z"], ["a, b", 'c"d', "3"], ["two\nlines", "", "0.5"]]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '=HYPERLINK("http://x")'])
def test_no_name_is_a_formula(name: str) -> None:
    assert cells(spreadsheet.as_csv(("file",), [(name,)])) == [["file"], [f"'{name}"]]


def test_numbers_stay_numbers() -> None:
    assert cells(spreadsheet.as_csv(("n",), [(-1,)])) == [["n"], ["-1"]]


def test_names_that_are_no_text_become_question_marks() -> None:
    assert cells(spreadsheet.as_csv(("file",), [("\udcff.png",)])) == [["file"], ["?.png"]]
