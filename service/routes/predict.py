"""Images in, classes out."""

from collections.abc import Sequence

from fastapi import APIRouter, Depends, Request, Response

from models.checkpoint import Card
from service import openapi, patience
from service.engine import Answer
from service.routes.dependencies import (
    DecoderDependency,
    ReceiverDependency,
    RepositoryDependency,
    SettingsDependency,
    TopKQuery,
    VersionQuery,
    authorize,
)
from service.schemas import LabelScore, Prediction, Predictions
from service.uploads import Upload

BATCH_SIZE = "X-Batch-Size"  # of the largest batch that an image of the request ran in

router = APIRouter(prefix="/v1/models", tags=["predict"], dependencies=[Depends(authorize)])


@router.post(
    "/{model}/predict",
    operation_id="predict",
    summary="Classify images",
    response_model=Predictions,
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
    top_k: TopKQuery = 5,
) -> Response:
    """Classify one image or many; the predictions come in the order of the images."""
    loaded = repository.ready(model, version)
    card = loaded.checkpoint.card

    async def classify(uploads: list[Upload]) -> list[Answer]:
        return await loaded.batcher.submit(await decoder.decode(uploads, card.input.pixels))

    async with receiver.receive(request) as uploads:
        answers = await patience.answer(request, classify(uploads), settings.request_timeout)
    told = Predictions(
        model=model,
        version=card.version,
        predictions=[prediction(card, each.probabilities, top_k) for each in answers],
    )
    headers = {BATCH_SIZE: str(max(each.batch_size for each in answers))}
    # as a response, since FastAPI would validate the model again before it writes it
    return Response(told.model_dump_json(), media_type="application/json", headers=headers)


def prediction(card: Card, probabilities: Sequence[float], top_k: int) -> Prediction:
    """The most probable class, and the `top_k` most probable ones; at most all there are."""
    ranked = sorted(zip(probabilities, card.labels, strict=True), key=lambda pair: -pair[0])
    top = [LabelScore(label=label, score=score) for score, label in ranked[:top_k]]
    return Prediction(label=top[0].label, score=top[0].score, top=top)
