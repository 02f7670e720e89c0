"""The usual look of the training images in numbers, and sentences on images that clearly differ.

    training images (N, C, H, W) → ranges of the ground and of the part that is not ground
    image                        → sentences, where it lies far outside of them

The ground is the median level of the outermost pixels. What differs from it much is the subject.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.images.scaling import Pixels

_CONTRAST = 48  # levels of 255 by which a pixel of the subject differs from the ground
_FAR = 40  # levels of 255 outside of the range: another ground
_USUAL = (0.01, 0.99)  # quantiles that bound what is usual
_MOST_IMAGES = 5_000
MOST_PIXELS = 2**25  # of all images together: 128 MiB as float32
BATCH = 64  # images that are measured at a time

Level = Annotated[int, Field(ge=0, le=255)]
Part = Annotated[float, Field(ge=0, le=1)]


class Expectation(BaseModel):
    """What is usual in training images: two ranges, each of which holds for 98 of 100 of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ground: tuple[Level, Level] = Field(
        description="least and greatest level of the ground, 0 (black) to 255 (white): the median "
        "of the outermost pixels"
    )
    subject: tuple[Part, Part] = Field(
        description="least and greatest part of the image that differs from the ground by more "
        f"than {_CONTRAST} levels"
    )

    def words(self) -> str:
        """Describe the ranges in a sentence."""
        low, high = self.ground
        kind = "dark " if high < 85 else "light " if low > 170 else ""
        return (
            f"the ground is {kind}of level {_levels(low, high)} of 255, and the subject covers "
            f"{_parts(*self.subject)} of the image"
        )

    def unmet(self, pixels: Pixels, *, any_ground: bool = False) -> list[str]:
        """Return sentences on how an image (C, H, W) clearly differs from the training images.

        With `any_ground`, as for a network with a framing rule, the ground is not judged.
        """
        [ground], [subject] = _measured(pixels[None])
        low, high = self.ground
        least, greatest = self.subject
        found = []
        if not any_ground and not low - _FAR <= ground <= high + _FAR:
            found.append(
                f"the ground has level {ground:.0f} of 255, and {_levels(low, high)} in the "
                f"training images: {_advice(ground > high)}"
            )
        if subject < least / 2:
            advice = "crop the image to the subject" if subject else "nothing stands out: show one"
            found.append(
                f"the subject covers {_parts(subject)} of the image, and {_parts(least, greatest)} "
                f"in the training images: {advice}"
            )
        if subject > (1 + greatest) / 2:
            found.append(
                f"{_parts(subject)} of the image differs from its ground, and "
                f"{_parts(least, greatest)} in the training images: show the subject alone"
            )
        return found


def of(images: NDArray[np.uint8]) -> Expectation:
    """Measure what these training images (N, C, H, W) look like; of many, only a `sample`."""
    some = images[sample(images.shape)]
    return of_batches(some[start : start + BATCH] for start in range(0, len(some), BATCH))


def of_batches(batches: Iterable[NDArray[np.uint8]]) -> Expectation:
    """Measure what training images look like that come in batches (N, C, H, W): a `sample`."""
    measured = [_measured(batch) for batch in batches]
    ground, subject = (np.concatenate(each) for each in zip(*measured, strict=True))
    low, high = np.quantile(ground, _USUAL)
    least, greatest = np.quantile(subject, _USUAL).round(4).tolist()
    return Expectation(ground=(int(low), int(np.ceil(high))), subject=(least, greatest))


def sample(shape: Sequence[int]) -> slice:
    """Return which of images of this shape, (N, C, H, W), are measured: every so many."""
    count, _, height, width = shape
    most = max(1, min(_MOST_IMAGES, MOST_PIXELS // (height * width)))
    return slice(None, None, -(-count // most))


def _measured(images: NDArray[np.uint8]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the level of the ground (N,), and the part of the pixels that differs from it (N,)."""
    grey = images.mean(1, dtype=np.float32)  # (N, H, W)
    edges = np.concatenate([grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]], 1)
    edges.sort(1)  # a third of the time of np.median, which checks for NaN
    ground = edges[:, edges.shape[1] // 2]  # (N,)
    differs = np.abs(grey - ground[:, None, None]) > _CONTRAST
    return ground, differs.mean((1, 2))


def _advice(is_lighter: bool) -> str:
    other = "a darker" if is_lighter else "a lighter"
    return f"show the subject on {other} ground, or invert the image if it is a drawing"


def _levels(*levels: int) -> str:
    return " to ".join(map(str, dict.fromkeys(levels)))


def _parts(*parts: float) -> str:
    """Format fractions as `5 %`, or as `5 to 20 %`."""
    return " to ".join(dict.fromkeys(f"{100 * part:.3g}" for part in parts)) + " %"
