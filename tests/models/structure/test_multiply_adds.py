"""Multiply-adds are counted as one would by hand."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.structure.multiply_adds import MultiplyAdds

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
x = torch.zeros(2, 6, 8, 8)


def count(compute: Callable[[], object]) -> int:
    counter = MultiplyAdds()
    with counter:
        compute()
    return counter.total


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Conv2d(6, 4, 3), 2 * 6 * 6 * 4 * 6 * 9),
        (nn.Conv2d(6, 4, 3, stride=2, padding=1), 2 * 4 * 4 * 4 * 6 * 9),
        (nn.Conv2d(6, 4, 3, groups=2), 2 * 6 * 6 * 4 * 3 * 9),
        (nn.Conv2d(6, 6, 3, groups=6), 2 * 6 * 6 * 6 * 9),
        (nn.ConvTranspose2d(6, 4, 3, stride=2), 2 * 8 * 8 * 6 * 4 * 9),
        (nn.ConvTranspose2d(6, 4, 3, groups=2), 2 * 8 * 8 * 6 * 2 * 9),
    ],
)
def test_each_gradient_of_a_convolution_costs_as_much_as_itself(
    module: nn.Module, expected: int
) -> None:
    """torch's own counter takes a convolution of groups for more."""
    taken = x.clone().requires_grad_()
    result = module(taken).sum()
    weight = module.get_parameter("weight")

    def gradients(*of: Tensor) -> int:
        return count(lambda: torch.autograd.grad(result, of, retain_graph=True))

    assert count(lambda: module(x)) == expected
    assert gradients(taken) == gradients(weight) == expected
    assert gradients(taken, weight) == 2 * expected
    assert gradients(module.get_parameter("bias")) == 0


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Conv2d(6, 4, 3), (2, 6, 8, 8), 2 * 6 * 6 * 4 * 6 * 9),
        (nn.Conv2d(6, 4, 3, bias=False), (2, 6, 8, 8), 2 * 6 * 6 * 4 * 6 * 9),
        (nn.Conv2d(6, 4, 3, stride=2, padding=1), (2, 6, 8, 8), 2 * 4 * 4 * 4 * 6 * 9),
        (nn.Conv2d(6, 4, 3, dilation=2), (2, 6, 8, 8), 2 * 4 * 4 * 4 * 6 * 9),
        (nn.Conv2d(6, 4, 3, groups=2), (2, 6, 8, 8), 2 * 6 * 6 * 4 * 3 * 9),
        (nn.Conv2d(6, 6, 3, groups=6), (2, 6, 8, 8), 2 * 6 * 6 * 6 * 9),
        (nn.Conv1d(6, 4, 3), (2, 6, 8), 2 * 6 * 4 * 6 * 3),
        (nn.Conv3d(6, 4, 3), (2, 6, 8, 8, 8), 2 * 6**3 * 4 * 6 * 27),
        (nn.Linear(6, 4), (2, 6), 2 * 6 * 4),
        (nn.Linear(6, 4, bias=False), (2, 6), 2 * 6 * 4),
        (nn.Linear(6, 4), (2, 3, 5, 6), 2 * 3 * 5 * 6 * 4),
        (nn.BatchNorm2d(6), (2, 6, 8, 8), 0),
        (nn.LayerNorm(8), (2, 6, 8, 8), 0),
        (nn.ReLU(), (2, 6, 8, 8), 0),
        (nn.Tanh(), (2, 6, 8, 8), 0),
        (nn.MaxPool2d(2), (2, 6, 8, 8), 0),
        (nn.AvgPool2d(2), (2, 6, 8, 8), 0),
        (nn.AdaptiveAvgPool2d(1), (2, 6, 8, 8), 0),
        (nn.Flatten(), (2, 6, 8, 8), 0),
    ],
    ids=str,
)
def test_modules(
    mode: Callable[[], torch.inference_mode],
    module: nn.Module,
    shape: tuple[int, ...],
    expected: int,
) -> None:
    with mode():
        assert count(lambda: module.eval()(torch.zeros(shape))) == expected


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("heads", [2, 1])
def test_self_attention_is_the_same_in_one_operator_or_in_several(
    mode: Callable[[], torch.inference_mode], heads: int
) -> None:
    attention = nn.MultiheadAttention(8, heads, batch_first=True).eval()
    query = torch.zeros(3, 5, 8)
    projections, products = 4 * 5 * 8 * 8, 2 * 5 * 5 * 8
    with mode():
        found = count(lambda: attention(query, query, query, need_weights=False))
    assert found == 3 * (projections + products)


def test_attention_over_another_sequence() -> None:
    query, key = torch.zeros(3, 2, 5, 4), torch.zeros(3, 2, 7, 4)
    with torch.inference_mode():
        found = count(lambda: F.scaled_dot_product_attention(query, key, key))
    assert found == 3 * 2 * (5 * 7 * 4 + 5 * 7 * 4)


def test_it_agrees_with_the_counter_of_torch() -> None:
    network = nn.Sequential(nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    with FlopCounterMode(display=False) as flops:
        network(x)
    assert count(lambda: network(x)) == flops.get_total_flops() // 2


def test_counting_changes_no_result() -> None:
    conv, pictures = nn.Conv2d(6, 4, 3), torch.rand(2, 6, 8, 8)
    plain = conv(pictures)
    with MultiplyAdds():
        assert torch.equal(conv(pictures), plain)


def test_other_threads_are_not_counted() -> None:
    fc, results = nn.Linear(6, 4), list[Tensor]()
    with MultiplyAdds() as counter:
        thread = threading.Thread(target=lambda: results.append(fc(torch.zeros(1, 6))))
        thread.start()
        thread.join()
    assert results[0].shape == (1, 4)
    assert counter.total == 0


def test_the_compiler_of_torch_is_not_imported() -> None:
    program = (
        "import sys, torch; from models.structure import reading; "
        "from models.architectures import registry;"
        "network = registry.architecture('lenet').build(10).eval();"
        "reading.layers(network, torch.zeros(1, 1, 28, 28));"
        "print('torch._dynamo.convert_frame' in sys.modules, 'sympy' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout == "False False\n"
