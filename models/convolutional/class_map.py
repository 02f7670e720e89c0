"""An image of any size → which class the network sees at which place of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.convolutional import picture, stitching
from models.convolutional.form import Form
from models.convolutional.picture import Picture
from models.convolutional.stitching import Step
from models.convolutional.windows import Windows
from models.errors import OptionError
from models.images.scaling import Box
from models.preprocessing import InputSpec
from models.trust import SecondLook

MAX_PIXELS = 2**18  # of an image, 512 × 512: maps of 64 channels as large are 64 MiB
MAX_VALUES = 2**25  # of the largest maps, 128 MiB
MAX_MULTIPLY_ADDS = 10**11  # of one pass: some 10 s on a core
COSTLY_MULTIPLY_ADDS = 2 * 10**10  # of all passes; above it the step is larger by default
MAX_SCORES = 2**22  # places times classes
STEPS_ACROSS = 8  # the default step is this part of the window's shorter side


@dataclass(frozen=True)
class Share:
    """How often a class is the most probable one, and where its probability is highest.

    `places` counts the places where it wins, and `share` is their part of all places. `score` is
    the class's highest probability at any place, and `best` the window of that place: left, top,
    right, bottom in fractions of the image's width and height.
    """

    index: int
    places: int
    share: float
    score: float
    best: Box


@dataclass(frozen=True)
class ClassMap:
    """The probabilities (num_classes, rows, columns) of an image's windows.

    Those at (r, c) belong to the window of `window` pixels (rows, columns) whose upper left corner
    is at (r, c) times `step` in the picture.
    """

    probabilities: Tensor
    step: Step
    window: tuple[int, int]
    picture: Picture

    @property
    def winners(self) -> Tensor:
        """The index of the most probable class at each place, (rows, columns)."""
        return self.probabilities.argmax(0)

    @property
    def scores(self) -> Tensor:
        """The probability of the winner at each place, (rows, columns)."""
        return self.probabilities.amax(0)

    def heat(self, index: int) -> Tensor:
        """Return the probability of a class at each pixel of the picture, (H, W)."""
        return stitching.upsampled(
            self.probabilities[index], self.window, self.step, self.picture.size
        )

    def shares(self) -> list[Share]:
        """Return the classes that win at one place or more, the most frequent first."""
        winners = self.winners.flatten()
        counts = winners.bincount(minlength=len(self.probabilities))
        order = sorted(counts.nonzero().flatten().tolist(), key=lambda each: -int(counts[each]))
        return [self._share(index, int(counts[index]), winners.numel()) for index in order]

    def _share(self, index: int, places: int, of: int) -> Share:
        scores = self.probabilities[index]
        row, column = divmod(int(scores.argmax()), scores.shape[1])
        left, top, right, bottom = self.picture.box
        height, width = self.picture.size
        across, down = (right - left) / width, (bottom - top) / height
        x, y = left + column * self.step[1] * across, top + row * self.step[0] * down
        best = x, y, x + self.window[1] * across, y + self.window[0] * down
        return Share(index, places, places / of, float(scores.max()), best)


def class_map(
    form: Form | Windows,
    image: Image.Image,
    spec: InputSpec,
    probabilities: Callable[[Tensor], Tensor],
    *,
    device: torch.device,
    step: int | None = None,
    sent: tuple[int, int] | None = None,
    second_look: SecondLook | None = None,
    check: Callable[[], None] = lambda: None,
) -> ClassMap:
    """Compute the class map of an upright image.

    `probabilities` turns logits (N, num_classes) into probabilities of the same shape. With
    `second_look`, windows whose answer is not sure are looked at again, mirrored, as in a
    prediction. `step` is in pixels; it is lowered to a divisor of the form's stride. The default is
    an eighth of the window, or more where that would take seconds. `sent` is the width and height
    of the image as it was sent, if it was made smaller since. `check` is called between operators.
    Raises `OptionError` for a step that would cost too much.
    """
    classes = form.num_classes

    def is_affordable(height: int, width: int) -> bool:
        size = height, width
        return (
            height * width <= max(MAX_PIXELS, form.window[0] * form.window[1])
            and form.multiply_adds(*size) <= MAX_MULTIPLY_ADDS
            and form.largest(*size) <= MAX_VALUES
            and _scores(form, size, form.stride, classes) <= MAX_SCORES
        )

    found = picture.prepared(image, spec, is_affordable, sent)
    chosen = _step(form, found.size, classes, step)
    with torch.inference_mode():
        batch = spec.normalize(torch.tensor(found.pixels)[None].to(device))
        logits = stitching.stitched(form, batch, chosen, check)  # (num_classes, rows, columns)
        if second_look is not None:
            logits = _looked_again(logits, form, batch, chosen, second_look, check)
        scores = probabilities(logits.flatten(1).T).T.reshape(logits.shape)
    return ClassMap(scores.float().cpu(), chosen, form.window, found)


def _looked_again(
    logits: Tensor,
    form: Form | Windows,
    batch: Tensor,
    step: Step,
    look: SecondLook,
    check: Callable[[], None],
) -> Tensor:
    """Return the logits (num_classes, rows, columns) after a second look at unsure windows."""

    def mirrored(due: NDArray[np.bool_]) -> NDArray[np.float32]:
        width = form.window[1] + (logits.shape[2] - 1) * step[1]  # mirrored, windows fall on others
        again = stitching.stitched(form, batch[..., :width].flip(-1), step, check).flip(-1)
        return _flat(again)[due]

    answered = torch.from_numpy(look.answer(_flat(logits), mirrored))
    return answered.T.reshape(logits.shape).to(logits.device)


def _flat(logits: Tensor) -> NDArray[np.float32]:
    """(num_classes, rows, columns) to (places, num_classes)."""
    flat: NDArray[np.float32] = logits.flatten(1).T.float().cpu().numpy()
    return flat


def _step(form: Form | Windows, size: tuple[int, int], classes: int, asked: int | None) -> Step:
    possible = [each for each in stitching.steps(form) if _fits(form, size, each, classes)]
    if asked is not None:
        chosen = stitching.nearest(form, asked)
        if chosen in possible or chosen == form.stride:
            return chosen
        finest = max((possible or [form.stride])[0])
        raise OptionError(
            f"step {asked} makes too many places of an image of {size[1]} × {size[0]} pixels: at "
            f"most {MAX_SCORES:,} probabilities and {MAX_MULTIPLY_ADDS:,} multiply-adds are "
            f"computed; the step may be {finest} or more"
        )
    wanted = stitching.nearest(form, max(1, min(form.window) // STEPS_ACROSS))
    cheap = [
        each
        for each in possible
        if min(each) >= min(wanted)
        and stitching.multiply_adds(form, size, each) <= COSTLY_MULTIPLY_ADDS
    ]
    return next(iter(cheap), form.stride)


def _fits(form: Form | Windows, size: tuple[int, int], step: Step, classes: int) -> bool:
    """Return whether a map of that step stays within the limits on places and cost."""
    if _scores(form, size, step, classes) > MAX_SCORES:
        return False
    return stitching.multiply_adds(form, size, step) <= MAX_MULTIPLY_ADDS


def _scores(form: Form | Windows, size: Sequence[int], step: Step, classes: int) -> int:
    rows, columns = stitching.places(form, size, step)
    return rows * columns * classes
