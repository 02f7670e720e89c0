"""One activation has one colour: in the service's pictures, on the page and in training's plots."""

import json
import re
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from models.images import colours
from service.responses import rendering
from training.plots import figures

PAGE = Path(__file__).parents[1] / "service" / "static" / "playground" / "inside" / "colours.js"
LEVELS = np.linspace(0, 1, 256, dtype=np.float32)


def test_the_page_has_the_same_colours() -> None:
    found = re.search(r"const VIRIDIS = (\[.*?\n\]);", PAGE.read_text(), re.DOTALL)
    assert found is not None
    assert json.loads(found[1].replace(",\n]", "\n]")) == [list(each) for each in colours.VIRIDIS]


def test_between_its_colours_it_is_linear() -> None:
    assert colours.viridis(np.array([0.0, 0.125, 0.5, 1.0])).tolist() == [
        [68, 1, 84],
        [64, 42, 112],  # as tests/page/colours.test.js has it, rounded
        [33, 145, 140],
        [253, 231, 37],
    ]


def test_the_service_draws_with_it() -> None:
    drawn = rendering.grid(LEVELS.reshape(1, 16, 16), tile=16, colormap="viridis")
    with Image.open(BytesIO(drawn.png)) as image:
        shown = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert (shown == colours.viridis(LEVELS)).all()


def test_training_draws_with_it() -> None:
    shown = figures.VIRIDIS(LEVELS, bytes=True)[:, :3].astype(int)
    assert abs(shown - colours.viridis(LEVELS).astype(int)).max() <= 1  # it has 256 steps


def test_it_is_viridis() -> None:
    """Within what five colours can do."""
    from matplotlib import colormaps

    exact = colormaps["viridis"](LEVELS, bytes=True)[:, :3].astype(int)
    assert abs(exact - colours.viridis(LEVELS).astype(int)).max() <= 26
