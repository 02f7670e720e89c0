"""A corner of a picture in numbers."""

import pytest
import torch

from models.errors import OptionError
from models.preprocessing import InputSpec
from training.data import corner

SPEC = InputSpec(channels=3, height=4, width=5, mean=(0.5, 0.5, 0.0), std=(0.5, 0.5, 1.0))
PIXELS = torch.arange(60, dtype=torch.uint8).view(3, 4, 5)


def test_levels_and_what_the_network_takes() -> None:
    found = corner.cut(PIXELS, SPEC, 1, 2, "it")
    assert found.levels[0].tolist() == [[7, 8, 9], [12, 13, 14], [17, 18, 19]]
    assert torch.equal(found.values, SPEC.normalize(PIXELS[None])[0, :, 1:4, 2:5])
    assert found.channels == ("red", "green", "blue")
    assert str(found) == "3×3 pixels at row 1, column 2 of it"


def test_at_the_border_it_is_smaller() -> None:
    assert corner.cut(PIXELS, SPEC, 3, 3, "it").levels.shape == (3, 1, 2)


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [(4, 0, "row 4 .* 0 to 3"), (-1, 0, "row -1"), (0, 5, "column 5 .* 0 to 4")],
)
def test_a_place_outside_is_refused(row: int, column: int, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        corner.cut(PIXELS, SPEC, row, column, "it")


def test_the_table_has_all_numbers() -> None:
    found = corner.cut(PIXELS[:1], InputSpec(channels=1, height=4, width=5), 0, 0, "it")
    [name, *cells] = [list(column.cells) for column in found.table().columns]
    assert name == ["grey", "", ""]
    assert [column[0] for column in cells] == ["0", "1", "2", "0.0000", "0.0039", "0.0078"]
    assert cells[2] == ["2", "7", "12"]
