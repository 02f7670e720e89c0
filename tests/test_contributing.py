"""The examples of CONTRIBUTING.md run as they stand there. `test_adding.py` adds whole files."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import nn

from models.architectures import registry as architectures
from models.images import formats as image_formats
from models.preprocessing import InputSpec
from service.inference.explain_methods import method as methods

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
_EXAMPLE = re.compile(r"^### ([^\n]+)\n(?:(?!^#).)*?^```python\n(.*?)^```$", re.M | re.S)
EXAMPLES: dict[str, str] = dict(_EXAMPLE.findall(PAGE))


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """What an example registers is gone afterwards."""
    with ExitStack() as stack:
        for each in (image_formats.FORMATS, methods.METHODS, architectures.ARCHITECTURES):
            stack.enter_context(each.restored())
        yield


def run(title: str, module: ModuleType, **imported: Any) -> None:
    """An example, after the imports that it needs: the names of that module, and these."""
    code = compile(EXAMPLES[title], f"CONTRIBUTING.md, {title}", "exec")
    exec(code, vars(module) | imported)  # noqa: S102


def test_each_example_is_run_here() -> None:
    assert set(EXAMPLES) == {"An image format", "An explain method", "An architecture"}


def test_an_image_format() -> None:
    run("An image format", image_formats, re=re)
    found = image_formats.sniff(b"qoif\0\0\0\1\0\0\0\1")
    assert found is not None
    assert found.media_types == ("image/qoi",)


def test_an_explain_method() -> None:
    run("An explain method", methods, Field=Field, torch=torch)
    method = methods.METHODS.get("smooth-grad")
    linear = nn.Linear(12, 2)
    network = nn.Sequential(nn.Flatten(), linear)
    batch = torch.rand(1, 3, 2, 2, requires_grad=True)
    pixels = np.zeros((3, 2, 2), np.uint8)
    subject = methods.Subject(
        network,
        forward=network,
        batch=batch,
        target=1,
        baseline=lambda level: torch.zeros(1, 3, 2, 2),
        layers={},
        pixels=pixels,
        logits=lambda uint8: network(torch.from_numpy(uint8).float()).numpy(),
        batch_size=4,
        step=lambda passes: None,
    )
    values = method.attribute(subject, method.model(samples=4)).values
    weight = linear.weight[1].reshape(3, 2, 2)  # the gradient of a linear network
    torch.testing.assert_close(values, weight.abs().amax(0))


def test_an_architecture() -> None:
    run("An architecture", architectures, nn=nn, InputSpec=InputSpec)
    network = architectures.architecture("narrow").build(3, width=5)
    assert network(torch.rand(2, 1, 28, 28)).shape == (2, 3)
