"""How flat activation functions are where their inputs lie."""

import pytest
import torch
from torch import Tensor, nn

from training.activations import saturation
from training.activations.saturation import Saturation


def of(network: nn.Module, *batches: Tensor) -> list[Saturation]:
    return saturation.measure(network.eval(), iter(batches))


def test_a_sigmoid_is_saturated_where_its_derivative_is_small() -> None:
    """5 % of its largest, 0.25, is reached at ±4.36."""
    taken = torch.tensor([[-10.0, -4.4, -4.3, 0.0, 4.3, 4.4]])
    (found,) = of(nn.Sequential(nn.Sigmoid()), taken)
    assert found.largest == pytest.approx(0.25)
    assert (found.values, found.saturated) == (6, 3)
    slopes = taken.sigmoid() * (1 - taken.sigmoid())
    assert found.mean_slope == pytest.approx(slopes.mean().item())


def test_a_relu_that_is_zero_for_every_picture_is_dead() -> None:
    pictures = torch.tensor([[-1.0, -1, 1], [-2.0, 2, 2], [-3.0, -1, 3]])
    (found,) = of(nn.Sequential(nn.ReLU(inplace=True)), pictures[:2], pictures[2:])
    assert found.share == pytest.approx(5 / 9)
    assert found.always == pytest.approx(1 / 3)
    assert found.mean_slope == pytest.approx(4 / 9)
    assert found.inputs.sum() == 9


def test_what_is_left_of_a_gradient_is_the_product_down_to_the_input() -> None:
    network = nn.Sequential(nn.Sigmoid(), nn.Sigmoid(), nn.Tanh())
    found = of(network, torch.zeros(2, 3))
    slopes = [each.mean_slope for each in found]
    assert slopes[0] == pytest.approx(0.25)
    assert saturation.products(found) == pytest.approx(
        [slopes[0], slopes[0] * slopes[1], slopes[0] * slopes[1] * slopes[2]]
    )


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(10 * self.act(x))  # type: ignore[no-any-return]


def test_each_call_of_a_module_counts_for_itself() -> None:
    first, second = of(Twice(), torch.full((2, 3), 3.0), torch.full((1, 3), 3.0))
    assert (first.name, second.name) == ("act", "act, call 2")
    assert first.values == second.values == 9
    assert second.mean_slope < first.mean_slope


@pytest.mark.parametrize("kind", saturation.KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_is_measured_as_autograd_has_it(kind: type[nn.Module]) -> None:
    module = kind()
    taken = torch.linspace(-6, 6, 24).view(2, 1, 12)
    (found,) = of(nn.Sequential(module), taken)
    leaf = taken.clone().requires_grad_()
    [slopes] = torch.autograd.grad(module(leaf * 1).sum(), leaf)
    assert found.mean_slope == pytest.approx(slopes.mean().item(), abs=1e-6)
    assert slopes.abs().max() <= found.largest * 1.001
    assert all(each.grad is None for each in module.parameters())
    assert len(saturation.function_table([found]).rows) == 21


def test_prelu_with_a_slope_a_channel() -> None:
    (found,) = of(nn.Sequential(nn.PReLU(3)), torch.ones(2, 3, 4, 4))
    assert found.share == 0
    assert len(saturation.function_table([found]).columns) == 3


def test_the_tables_have_a_row_a_function_and_a_row_an_input() -> None:
    found = of(nn.Sequential(nn.Sigmoid(), nn.Sigmoid(), nn.ReLU()), torch.zeros(1, 2))
    first = [next(iter(each.cells)) for each in saturation.table(found).columns]
    assert first == ["0", "Sigmoid", "2", "0.0 %", "0.0 %", "0.25", "0.25", "0.25"]
    functions = saturation.function_table(found)
    assert [column.header for column in functions.columns] == [
        *("x", "Sigmoid", "derivative", "ReLU", "derivative")
    ]
    columns = [column.cells for column in functions.columns]
    rows = {row[0]: row[1:] for row in zip(*columns, strict=True)}
    assert rows["0"][:2] == ("0.5", "0.25")
    assert rows["-10"] == ("4.5398e-05", "(4.54e-05)", "0", "(0)")
    assert rows["10"][2:] == ("10", "1")
