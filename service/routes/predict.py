"""Images in, classes out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from models.checkpoint import Card
from service import openapi, patience
from service.routes.dependencies import (
    DecoderDependency,
    ReceiverDependency,
    RepositoryDependency,
    SettingsDependency,
    VersionQuery,
    authorize,
)
from service.schemas import LabelScore, Prediction, Predictions
from service.uploads import Upload

router = APIRouter(prefix="/v1/models", tags=["predict"], dependencies=[Depends(authorize)])


@router.post(
    "/{model}/predict",
    operation_id="predict",
    summary="Classify images",
    openapi_extra={"requestBody": openapi.IMAGES},
    responses=openapi.problems(400, 401, 404, 408, 413, 415, 422, 429, 503, 504),
)
async def predict(
    request: Request,
    model: str,
    repository: RepositoryDependency,
    receiver: ReceiverDependency,
    decoder: DecoderDependency,
    settings: SettingsDependency,
    version: VersionQuery = None,
    top_k: Annotated[
        int, Query(ge=1, description="classes to list for each image; at most all of them")
    ] = 5,
) -> Predictions:
    """Classify one image or many; the predictions come in the order of the images."""
    loaded = repository.ready(model, version)
    card = loaded.checkpoint.card

    async def classify(uploads: list[Upload]) -> list[list[float]]:
        return await loaded.batcher.submit(await decoder.decode(uploads, card.input))

    async with receiver.receive(request) as uploads:
        probabilities = await patience.answer(request, classify(uploads), settings.request_timeout)
    return Predictions(
        model=model,
        version=card.version,
        predictions=[_prediction(card, each, top_k) for each in probabilities],
    )


def _prediction(card: Card, probabilities: list[float], top_k: int) -> Prediction:
    ranked = sorted(zip(probabilities, card.labels, strict=True), key=lambda pair: -pair[0])
    top = [LabelScore(label=label, score=score) for score, label in ranked[:top_k]]
    return Prediction(label=top[0].label, score=top[0].score, top=top)
