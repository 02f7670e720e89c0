"""The answer of `input`: images as the network gets them → JSON, or a picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import Response
from PIL import Image
from pydantic import Field

from models.checkpoint import Card
from models.preprocessing import Pixels
from service.images.decoding import DecodedImage
from service.requests.parameters import InputParameters
from service.responses import arrays, rendering
from service.responses.schemas import Schema


class InputImage(Schema):
    values: list[Any] = Field(description="pixels 0 to 255, nested lists of the shape")
    box: list[float] = Field(
        description="the part of the upright image that it shows: left, top, right, bottom, "
        "as fractions of width and height; it may reach beyond the image (below 0, above 1)"
    )


class Inputs(Schema):
    """The response of `input`: network inputs before normalisation."""

    model: str
    version: int
    shape: list[int] = Field(description="(C, H, W)")
    images: list[InputImage] = Field(description="one for each image, in the order sent")


def encode(images: Sequence[DecodedImage], card: Card, asked: InputParameters) -> Response:
    """The response in the requested format; a PNG shows the first image only."""
    content: dict[str, Any] = {
        "model": card.name,
        "version": card.version,
        "shape": card.input.shape,
    }
    if asked.format == "png":
        content["box"] = images[0].box
        return arrays.png_response(rendering.png(as_image(images[0].pixels)), content)
    content["images"] = [
        {"values": np.ascontiguousarray(each.pixels), "box": each.box} for each in images
    ]
    return arrays.json_response(content)


def as_image(pixels: Pixels) -> Image.Image:
    """Convert pixels (C, H, W), such as the network's input, to a picture of Pillow."""
    array = np.ascontiguousarray(pixels.transpose(1, 2, 0))  # (H, W, C)
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
