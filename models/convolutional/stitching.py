"""Maps denser than the form's own: the image is shifted, and the maps are interleaved.

Pooling and strides make a form look at every 4th, or every 32nd, place alone. "Shift and stitch"
(Sermanet et al. 2014; Long, Shelhamer and Darrell 2015, section 3.2) looks at the places between by
moving the image, which changes no weight.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from models.convolutional.form import Form
from models.convolutional.windows import Windows

Step = tuple[int, int]
"""The distance between neighbouring places in pixels, down and across."""


def steps(form: Form | Windows) -> list[Step]:
    """Return the steps that a map may have: divisors of the form's stride, from one pixel on."""
    all_sides = range(1, max(form.stride) + 1)
    return list(dict.fromkeys(nearest(form, side) for side in all_sides))


def nearest(form: Form | Windows, pixels: int) -> Step:
    """Return the largest step that divides the form's stride and is at most so many pixels."""
    down, across = (
        next(each for each in range(min(stride, pixels), 0, -1) if stride % each == 0)
        for stride in form.stride
    )
    return down, across


def places(form: Form | Windows, size: Sequence[int], step: Step) -> tuple[int, int]:
    """Return rows and columns of the map of an image of (height, width) pixels."""
    rows, columns = (
        (side - window) // apart + 1
        for side, window, apart in zip(size, form.window, step, strict=True)
    )
    return rows, columns


def multiply_adds(form: Form | Windows, size: Sequence[int], step: Step) -> int:
    """Count the multiply-adds of the form for all shifted images."""
    if isinstance(form, Windows):
        return form.multiply_adds(size[0], size[1], step)
    return sum(form.multiply_adds(*part[1]) for part in _shifts(form, size, step))


def stitched(
    form: Form | Windows, image: Tensor, step: Step, check: Callable[[], None] = lambda: None
) -> Tensor:
    """Turn a normalised image (1, C, H, W) into logits (num_classes, rows, columns).

    The windows of neighbouring places begin `step` pixels apart. `step` divides the form's stride.
    `check` is called between operators, and may raise to end the work. Raises `ValueError` for an
    image smaller than the window.
    """
    if isinstance(form, Windows):
        return form.slide(image, step, check)
    whole: Tensor | None = None
    size = image.shape[2], image.shape[3]
    apart = [stride // each for stride, each in zip(form.stride, step, strict=True)]
    for (top, left), (height, width) in _shifts(form, size, step):
        found = form(image[:, :, top : top + height, left : left + width], check)[0]
        if whole is None:
            whole = found.new_empty(len(found), *places(form, size, step))
        whole[:, top // step[0] :: apart[0], left // step[1] :: apart[1]] = found
    if whole is None:
        raise ValueError(f"an image of {size} pixels is smaller than the window, {form.window}")
    return whole


def _shifts(
    form: Form, size: Sequence[int], step: Step
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield (top, left) and (height, width) of each shifted image, cut to what the form uses."""
    sides = []
    for side, window, stride, apart in zip(size, form.window, form.stride, step, strict=True):
        starts = range(0, min(stride, side - window + 1), apart)
        sides.append([(at, window + (side - window - at) // stride * stride) for at in starts])
    for top, height in sides[0]:
        for left, width in sides[1]:
            yield (top, left), (height, width)


def upsampled(values: Tensor, window: Step, step: Step, size: tuple[int, int]) -> Tensor:
    """Enlarge a map (rows, columns) to the `size` (height, width) of the image, bilinearly.

    Each value stands for a window, and is placed at the pixel in the middle of it. Pixels outside
    of all these middles, along the border, take the value of the nearest one.
    """
    for dim, at in enumerate(_middles(values, window, step, size)):
        before = at.floor().long()
        after = (before + 1).clamp(max=values.shape[dim] - 1)
        part = (at - before).to(values.dtype).view((-1, 1) if dim == 0 else (1, -1))
        low, high = values.index_select(dim, before), values.index_select(dim, after)
        values = low + (high - low) * part
    return values


def spread(values: Tensor, window: Step, step: Step, size: tuple[int, int]) -> Tensor:
    """Enlarge a map like `upsampled`, without interpolation: each pixel takes the value of the
    place whose window's middle is nearest."""
    rows, columns = _middles(values, window, step, size)
    return values[rows.round().long()][:, columns.round().long()]


def _middles(values: Tensor, window: Step, step: Step, size: tuple[int, int]) -> list[Tensor]:
    """Return, for each row and each column of the image, its position in rows and columns of the
    map."""
    return [
        ((torch.arange(side, device=values.device) - (wide - 1) / 2) / apart).clamp(0, places - 1)
        for side, wide, apart, places in zip(size, window, step, values.shape, strict=True)
    ]
