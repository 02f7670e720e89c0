"""Images in, the network's own view of them out."""

import asyncio
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from PIL import Image

from service import encoding, openapi, pictures
from service.errors import InvalidInputError
from service.images import Opened
from service.routes.dependencies import (
    DecoderDependency,
    ReceiverDependency,
    RepositoryDependency,
    SettingsDependency,
    VersionQuery,
    authorize,
)
from service.schemas import Inputs
from service.uploads import Upload

router = APIRouter(prefix="/v1/models", tags=["look inside"], dependencies=[Depends(authorize)])


@router.post(
    "/{model}/input",
    operation_id="input",
    summary="Images as the network gets them",
    openapi_extra={"requestBody": openapi.IMAGES},
    response_class=Response,
    responses={
        200: openapi.answers(Inputs, npz=False),
        **openapi.problems(400, 401, 404, 408, 413, 415, 422, 429, 503, 504),
    },
)
async def inputs(
    request: Request,
    model: str,
    repository: RepositoryDependency,
    receiver: ReceiverDependency,
    decoder: DecoderDependency,
    settings: SettingsDependency,
    version: VersionQuery = None,
    format: Annotated[
        Literal["json", "png"], Query(description="of the answer; png takes one image")
    ] = "json",
) -> Response:
    """The images cut and scaled to the network's input, before normalisation."""
    card = repository.ready(model, version).checkpoint.card

    async def answer(uploads: list[Upload]) -> Response:
        if format == "png" and len(uploads) != 1:
            raise InvalidInputError(f"format=png takes one image, not {len(uploads)}")
        found = await decoder.opened(uploads, card.input)
        return await asyncio.to_thread(encode, found)

    def encode(found: list[Opened]) -> Response:
        told = {"model": model, "version": card.version, "shape": card.input.shape}
        if format == "png":
            told["box"] = found[0].box
            return encoding.as_png(pictures.png(as_image(found[0])), told)
        told["images"] = [
            {"values": np.ascontiguousarray(each.pixels), "box": each.box} for each in found
        ]
        return encoding.as_json(told)

    async with receiver.receive(request.scope, request.receive) as uploads:
        return await answer(uploads)


def as_image(found: Opened) -> Image.Image:
    """The network's input as a picture."""
    array = np.ascontiguousarray(found.pixels.transpose(1, 2, 0))  # (H, W, C)
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
