"""How often a model is right on photographs as people have them.

`python -m benchmarks photographs` redraws coloured test images of 32×32: cut out, as a panorama,
strongly compressed. It sends the files through `models.preprocessing.read`, as the service does,
and prints a row for each scene. The subject that is cut out is the largest connected part that
differs from the background. An image can't be cut out if its background is not even, or if the
border cuts its subject.
"""

import argparse
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from benchmarks.as_taken.files import jpeg
from models.checkpoint import Checkpoint, load_named
from models.preprocessing import InputSpec, read
from models.repository_paths import SHIPPED
from models.scores import is_right
from training.data import datasets
from training.data.datasets import ImageSet
from training.fitting import trust

Photograph = NDArray[np.uint8]
"""An image of the data set, (32, 32, 3)."""
Mask = NDArray[np.bool_]
Scene = Callable[[Photograph, Generator], bytes]

SIDE = 128  # pixels of a file
_TOLERANCE = 40  # levels by which the ground differs from its median
_EVEN = 0.9  # part of the outermost pixels that may not differ more
_AREA = (0.08, 0.6)  # of the image, of what is cut out
_CUT = 0.1  # part of the outermost pixels that it may touch
_WHITE, _GREY, _GREEN = (255, 255, 255), (128, 128, 128), (60, 120, 50)


def subject(image: Photograph) -> Mask | None:
    """Return the mask (32, 32) of the subject of an image; None if it can't be cut out."""
    levels = image.astype(int)
    middle = np.median(_edges(levels), 0)
    far = np.abs(levels - middle).max(2) > _TOLERANCE
    if _edges(far).mean() > 1 - _EVEN:
        return None
    outermost = np.ones_like(far)
    outermost[1:-1, 1:-1] = False
    found = _largest_part(~_connected(outermost & ~far, ~far))
    if not _AREA[0] < found.mean() < _AREA[1] or _edges(found).mean() > _CUT:
        return None
    return found


def _edges(of: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([of[0], of[-1], of[:, 0], of[:, -1]])


def _connected(seeds: Mask, within: Mask) -> Mask:
    """The pixels that can be reached from the seeds, (H, W).

    A step goes up, down, left or right, from one pixel of `within` to another.
    """
    reached = seeds & within
    while True:
        wide = np.pad(reached, 1)
        beside = wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]
        grown = reached | (beside & within)
        if (grown == reached).all():
            return reached
        reached = grown


def _largest_part(mask: Mask) -> Mask:
    left, largest = mask.copy(), np.zeros_like(mask)
    while left.any():
        seed = np.zeros_like(mask)
        seed[tuple(np.argwhere(left)[0])] = True
        part = _connected(seed, left)
        left &= ~part
        largest = max(largest, part, key=np.count_nonzero)
    return largest


def _large(image: Photograph) -> Image.Image:
    return Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def as_it_is(image: Photograph, rng: Generator) -> bytes:
    return jpeg(_large(image), 90)


def compressed(image: Photograph, rng: Generator) -> bytes:
    return jpeg(_large(image), 10)


def panorama(image: Photograph, rng: Generator) -> bytes:
    """Make the image twice as wide or as high, by mirroring each half at its outer side."""
    large = np.array(_large(image))
    half = SIDE // 2
    wide = np.concatenate([large[:, half - 1 :: -1], large, large[:, : half - 1 : -1]], 1)
    return jpeg(Image.fromarray(wide if rng.random() < 0.5 else _tall(large, half)), 90)


def _tall(large: Photograph, half: int) -> Photograph:
    return np.concatenate([large[half - 1 :: -1], large, large[: half - 1 : -1]])


def cut_out(
    image: Photograph, rng: Generator, colour: tuple[int, int, int], margin: tuple[float, float]
) -> bytes:
    """Draw the subject alone, in the middle of a square of that colour.

    The subject's longer side is that of the square, less a random fraction of it; `margin` is the
    lowest and the highest fraction.
    """
    mask = subject(image)
    assert mask is not None
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    plain = np.where(mask[..., None], image, np.array(colour, np.uint8))
    cut = Image.fromarray(plain[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    times = SIDE * (1 - rng.uniform(*margin)) / max(cut.size)
    width, height = (max(1, round(each * times)) for each in cut.size)
    canvas = Image.new("RGB", (SIDE, SIDE), colour)
    place = (SIDE - width) // 2, (SIDE - height) // 2
    canvas.paste(cut.resize((width, height), Image.Resampling.BICUBIC), place)
    return jpeg(canvas, 90)


_TIGHT, _LOOSE = (0.05, 0.2), (0.4, 0.6)
SCENES: dict[str, Scene] = {
    "as in the data set": as_it_is,
    "JPEG of quality 10": compressed,
    "panorama or portrait, in the middle": panorama,
}
CUT_OUTS: dict[str, Scene] = {
    "those that can be cut out, as they are": as_it_is,
    "cut out on white": partial(cut_out, colour=_WHITE, margin=_TIGHT),
    "cut out on white, small": partial(cut_out, colour=_WHITE, margin=_LOOSE),
    "cut out on grey": partial(cut_out, colour=_GREY, margin=_TIGHT),
    "cut out on green": partial(cut_out, colour=_GREEN, margin=_TIGHT),
}


def accuracy(model: Checkpoint, scene: str, draw: Scene, images: ImageSet) -> str:
    """Return a row of the table: the accuracy on all images, then on those of each class."""
    files = [
        draw(image, np.random.default_rng([zlib.crc32(scene.encode()), index]))
        for index, image in enumerate(images.in_memory.permute(0, 2, 3, 1).numpy())
    ]
    spec, labels = model.card.input, model.card.labels
    pixels = torch.from_numpy(np.array([read(file, spec) for file in files]))
    look = None if model.trust is None else model.trust.second_look
    redrawn = ImageSet(pixels, images.targets, labels)
    logits = trust.answers(model.network, redrawn, spec, look).logits
    right = is_right(logits, images.targets)
    each = [right[images.targets == index].float().mean() for index in range(len(labels))]
    cells = [right.float().mean(), *each]
    return " | ".join([scene, f"{len(images):,}", *(f"{cell:.3f}" for cell in cells)])


def rows(model: Checkpoint, root: Path) -> Iterator[str]:
    assert model.card.training is not None
    stored = InputSpec(channels=3, height=32, width=32)
    images = datasets.load(model.card.training.dataset, "test", root, stored)
    images = images.relabel(model.card.labels)
    pictures = images.in_memory.permute(0, 2, 3, 1).numpy()
    can = torch.tensor([subject(each) is not None for each in pictures])
    for some, scenes in ((images, SCENES), (images.subset(can.nonzero().flatten()), CUT_OUTS)):
        for scene, draw in scenes.items():
            yield accuracy(model, scene, draw, some)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="*", default=["birds-vs-planes"], metavar="NAME")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--repository", type=Path, default=SHIPPED)
    asked = parser.parse_args()
    for name in asked.models:
        model = load_named(asked.repository, name, None, torch.device("cpu"))
        labels = model.card.labels
        print(f"\n| {name}/{model.card.version} | images | accuracy | {' | '.join(labels)} |")
        print("|---" * (3 + len(labels)) + "|")
        for row in rows(model, asked.data_root):
            print(f"| {row} |", flush=True)


if __name__ == "__main__":
    main()
