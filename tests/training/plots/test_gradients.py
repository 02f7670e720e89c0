"""Gradients, edges and corners of pictures that are known."""

import torch

from training.plots.gradients import corners, edges, sobel


def square() -> torch.Tensor:
    """White, 10 × 12 pixels, on black."""
    levels = torch.zeros(30, 30)
    levels[8:18, 10:22] = 255
    return levels


def test_the_gradient_of_a_ramp_is_its_slope() -> None:
    down = torch.arange(6.0)[:, None] * 3
    across = torch.arange(7.0)[None] * 2
    found = sobel(down + across)
    inside = (slice(1, -1), slice(1, -1))
    assert torch.allclose(found.across[inside], torch.full((4, 5), 2.0))
    assert torch.allclose(found.down[inside], torch.full((4, 5), 3.0))
    assert torch.allclose(found.magnitude[inside], torch.tensor(13.0).sqrt())


def test_the_border_has_no_gradient_of_its_own() -> None:
    found = sobel(torch.full((5, 5), 200.0))
    assert found.magnitude.max() == 0


def test_edges_of_a_square_are_thin_and_closed() -> None:
    found = edges(square())
    middle_row, middle_column = found[13], found[:, 16]
    assert middle_row.sum() == middle_column.sum() == 2
    left, right = middle_row.nonzero().flatten().tolist()
    assert abs(left - 9.5) == abs(right - 21.5) == 0.5
    assert 2 * (10 + 12) - 4 <= found.sum() <= 2 * (10 + 12) + 4


def test_weak_edges_count_where_a_strong_one_leads_to_them() -> None:
    led = torch.zeros(30, 60)
    led[:15] = torch.linspace(255, 40, 60)  # an edge that grows weaker to the right
    assert edges(led)[:, 5:55].sum(0).min() == 1
    alone = torch.zeros(30, 60)
    alone[:15, 20:] = 40
    alone[20:28, :8] = 255  # something strong elsewhere
    assert not edges(alone)[:, 12:].any()
    assert edges(alone)[:, :12].any()


def test_shades_and_noise_are_no_edges() -> None:
    assert not edges(torch.full((9, 9), 90.0)).any()
    assert not edges(torch.arange(40.0).repeat(9, 1)).any()


def test_corners_of_a_square() -> None:
    found = sorted(map(tuple, corners(square()).tolist()))
    expected = [(8, 10), (8, 21), (17, 10), (17, 21)]
    assert len(found) == 4
    assert all(
        abs(row - y) <= 1 and abs(column - x) <= 1
        for (row, column), (y, x) in zip(found, expected, strict=True)
    )


def test_corners_come_strongest_first() -> None:
    levels = square() / 2
    levels[20:28, 1:9] = 255
    strongest = corners(levels)[:4]
    assert (strongest[:, 0] > 18).all()


def test_an_edge_is_no_corner_and_a_flat_picture_has_none() -> None:
    levels = torch.zeros(20, 20)
    assert len(corners(levels)) == 0
    levels[10:] = 255
    assert len(corners(levels)) == 0
