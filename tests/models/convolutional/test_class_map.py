"""Which class a network sees where: on a collage, each tile's own."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models import checkpoint
from models.checkpoint import Checkpoint
from models.convolutional import class_map
from models.convolutional.class_map import ClassMap
from models.errors import OptionError
from models.repository_paths import SHIPPED
from tests.networks import DATA, picture

CPU = torch.device("cpu")
TILE, TILES = 32, 6
LEAST = 0.9  # of the tiles that the network gets right alone, whose class wins in their middle


def softmax(logits: torch.Tensor) -> torch.Tensor:
    return logits.softmax(1)


def shipped(name: str = "birds-vs-planes") -> Checkpoint:
    return checkpoint.load_named(SHIPPED, name, None, CPU)


def mapped(model: Checkpoint, image: Image.Image, step: int | None = None) -> ClassMap:
    form = model.structure.form
    assert form is not None
    return class_map.class_map(form, image, model.card.input, softmax, device=CPU, step=step)


def alone(model: Checkpoint, image: Image.Image) -> torch.Tensor:
    """The probabilities of one tile."""
    spec = model.card.input
    with torch.inference_mode():
        return softmax(model.network(spec.normalize(spec.pixels(image)[None])))[0]


def collage(tiles: list[Image.Image], columns: int) -> Image.Image:
    whole = Image.new("RGB", (columns * TILE, len(tiles) // columns * TILE))
    for number, tile in enumerate(tiles):
        whole.paste(tile, (number % columns * TILE, number // columns * TILE))
    return whole


def opened(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB").resize((TILE, TILE), Image.Resampling.BILINEAR)


def found_in_tiles(
    model: Checkpoint, tiles: list[tuple[int, Image.Image]], columns: int
) -> tuple[int, int]:
    """In how many tiles the right class wins, in the pixel in their middle, and of how many: those
    that the network gets right alone."""
    found = mapped(model, collage([image for _, image in tiles], columns))
    heat = torch.stack([found.heat(index) for index in range(len(model.card.labels))])
    hits = asked = 0
    for number, (label, image) in enumerate(tiles):
        if int(alone(model, image).argmax()) != label:
            continue
        row, column = (TILE * at + TILE // 2 for at in divmod(number, columns))
        asked += 1
        hits += int(heat[:, row, column].argmax()) == label
    return hits, asked


def test_a_collage_of_birds_and_planes() -> None:
    """In the middle of each tile the class wins that the network gives the tile alone."""
    model = shipped()
    names = ("airplane-747", "bird-owl", "bird-drake", "airplane-f22")
    tiles = [
        (
            model.card.labels.index(name.split("-")[0]),
            opened(DATA / "birds-vs-planes" / f"{name}.png"),
        )
        for name in names
    ]
    hits, asked = found_in_tiles(model, tiles, columns=2)
    assert hits == asked >= 3


@pytest.mark.data
def test_collages_of_the_test_set(data_root: Path) -> None:
    """Of the tiles that the network gets right alone, the right class wins in the middle of nine in
    ten: what lies around a tile is another picture, where there was padding."""
    folder = data_root / "birds-vs-planes" / "test"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    model, chosen = shipped(), random.Random(0)
    files = {label: sorted((folder / label).iterdir()) for label in model.card.labels}
    hits = asked = 0
    for _ in range(3):
        labels = chosen.choices(model.card.labels, k=TILES * TILES)
        tiles = [
            (model.card.labels.index(label), opened(chosen.choice(files[label])))
            for label in labels
        ]
        more, of = found_in_tiles(model, tiles, TILES)
        hits, asked = hits + more, asked + of
    assert asked > 90
    assert hits >= LEAST * asked


@pytest.mark.parametrize("name", ["birds-vs-planes", "birds-vs-planes-batchnorm"])
def test_at_the_own_size_it_is_the_prediction(name: str) -> None:
    model = shipped(name)
    image = picture(0, (32, 32))
    found = mapped(model, image)
    assert found.probabilities.shape == (2, 1, 1)
    torch.testing.assert_close(found.probabilities[:, 0, 0], alone(model, image), atol=1e-5, rtol=0)
    assert torch.equal(found.heat(1), found.probabilities[1].expand(32, 32))


def test_shares_tell_where_a_class_is_surest() -> None:
    model = shipped()
    grey = Image.new("RGB", (96, 64), (128, 128, 128))
    grey.paste(opened(DATA / "birds-vs-planes" / "bird-owl.png"), (64, 32))
    found = mapped(model, grey)
    shares = found.shares()
    assert sum(each.places for each in shares) == found.winners.numel()
    assert sum(each.share for each in shares) == pytest.approx(1)
    assert [each.places for each in shares] == sorted([s.places for s in shares], reverse=True)
    [bird] = [each for each in shares if model.card.labels[each.index] == "bird"]
    left, top, right, bottom = bird.best
    assert (right - left, bottom - top) == pytest.approx((32 / 96, 32 / 64))
    assert (left + right) / 2 > 0.5
    assert (top + bottom) / 2 > 0.5


def test_the_step_is_a_part_of_the_stride_that_was_asked_for() -> None:
    model, image = shipped(), picture(0, (48, 40))
    for asked, step in ((None, 4), (1, 1), (3, 2), (100, 8)):
        found = mapped(model, image, asked)
        assert found.step == (step, step)
        assert found.probabilities.shape == (2, 8 // step + 1, 16 // step + 1)
    assert np.allclose(
        mapped(model, image, 1).probabilities[:, ::4, ::4], mapped(model, image, 4).probabilities
    )


def test_costs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = shipped(), picture(0, (64, 64))
    once = model.structure.form.multiply_adds(64, 64)  # type: ignore[union-attr]
    monkeypatch.setattr(class_map, "COSTLY_MULTIPLY_ADDS", once)
    assert mapped(model, image).step == (8, 8)  # one pass
    monkeypatch.setattr(class_map, "MAX_MULTIPLY_ADDS", 3 * once)
    with pytest.raises(OptionError, match="step 1 makes too many places"):
        mapped(model, image, 1)
    monkeypatch.setattr(class_map, "MAX_MULTIPLY_ADDS", once // 2)
    found = mapped(model, image)
    assert 32 < found.picture.size[0] < 64
    assert "made smaller, from 64 × 64" in " ".join(found.picture.changes)


@pytest.mark.parametrize("limit", ["MAX_PIXELS", "MAX_VALUES", "MAX_MULTIPLY_ADDS", "MAX_SCORES"])
def test_an_image_of_the_own_size_is_within_any_limit(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_map, limit, 0)
    assert mapped(shipped(), picture(0, (300, 200))).probabilities.shape[0] == 2
