"""The Open Inference Protocol v2 over REST, for clients of Triton, KServe and others.

KServe describes it, so it is not in our OpenAPI document; docs/inference-protocol.md says what is
supported. Every error is `{"error": …}`, which is all that its clients read.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from service.errors import NotFoundError, NotOfferedError
from service.repository.loading import ServingModel
from service.requests import inference_request
from service.requests.inference_request import InferenceBody
from service.requests.parameters import NoParameters
from service.responses.other_protocols import inference_models
from service.state import AppState, State, authorize

router = APIRouter(prefix="/v2", include_in_schema=False)
_MODEL, _VERSION = "/models/{model}", "/models/{model}/versions/{version}"
_AUTHORIZED = [Depends(authorize)]
Nothing = Annotated[NoParameters, Query()]
Told = dict[str, Any]


def _serving(state: AppState, model: str, version: str | None) -> ServingModel:
    return state.repository.get(model, _number(version))


def _number(version: str | None) -> int | None:
    if version is None:
        return None
    if not version.isdecimal() or len(version) > 15:
        raise NotFoundError(f"no version {version!r}; versions are numbers from 1")
    return int(version)


@router.get("", operation_id="v2_server")
async def server(_: Nothing, request: Request) -> Told:
    """What the server is, and which extensions of the protocol it has."""
    return inference_models.server(request.app.version)


@router.get("/health/live", operation_id="v2_live")
async def live(_: Nothing) -> Told:
    """The process answers."""
    return {"live": True}


@router.get("/health/ready", operation_id="v2_ready")
async def ready(_: Nothing, state: State) -> Told:
    """As /health/ready."""
    state.check_ready()
    return {"live": True, "ready": True}


@router.get("/models/stats", operation_id="v2_all_statistics", dependencies=_AUTHORIZED)
async def all_statistics(_: Nothing, state: State) -> Told:
    """What each version that answers has done, as this process has counted."""
    repository = state.repository
    found = [each.loaded for name in repository.names() for each in repository.versions(name)]
    return {"model_stats": [inference_models.statistics(each) for each in found if each]}


@router.get(f"{_MODEL}/stats", operation_id="v2_model_statistics", dependencies=_AUTHORIZED)
@router.get(f"{_VERSION}/stats", operation_id="v2_statistics", dependencies=_AUTHORIZED)
async def statistics(_: Nothing, state: State, model: str, version: str | None = None) -> Told:
    """The same for one version."""
    serving = _serving(state, model, version)
    return {"model_stats": [inference_models.statistics(serving)]}


@router.get(_MODEL, operation_id="v2_model", dependencies=_AUTHORIZED)
@router.get(_VERSION, operation_id="v2_version", dependencies=_AUTHORIZED)
async def metadata(_: Nothing, state: State, model: str, version: str | None = None) -> Told:
    """A model's inputs and outputs."""
    card = _serving(state, model, version).checkpoint.card
    return inference_models.model(card, state.repository.versions(model))


@router.get(f"{_MODEL}/ready", operation_id="v2_model_ready", dependencies=_AUTHORIZED)
@router.get(f"{_VERSION}/ready", operation_id="v2_version_ready", dependencies=_AUTHORIZED)
async def model_ready(_: Nothing, state: State, model: str, version: str | None = None) -> Told:
    """Whether a version answers: 404 if there is none, 503 if it does not yet or has failed."""
    return {"name": _serving(state, model, version).checkpoint.card.name, "ready": True}


@router.get(f"{_MODEL}/config", operation_id="v2_model_config", dependencies=_AUTHORIZED)
@router.get(f"{_VERSION}/config", operation_id="v2_version_config", dependencies=_AUTHORIZED)
async def config(_: Nothing, state: State, model: str, version: str | None = None) -> Told:
    """A model's configuration, as Triton has it."""
    card = _serving(state, model, version).checkpoint.card
    return inference_models.config(card, state.settings.max_images)


@router.post(f"{_MODEL}/infer", operation_id="v2_infer", dependencies=_AUTHORIZED)
@router.post(f"{_VERSION}/infer", operation_id="v2_infer_version", dependencies=_AUTHORIZED)
async def infer(
    _: Nothing, request: Request, state: State, model: str, version: str | None = None
) -> Response:
    """Predictions, and activations of layers, for images or for tensors."""
    number = _number(version)
    return await state.inferrer.infer(request.scope, request.receive, model, number)


@router.post("/repository/index", operation_id="v2_index", dependencies=_AUTHORIZED)
async def index(_: Nothing, request: Request, state: State) -> list[Told]:
    """All versions with their states, or with `{"ready": true}` those that answer."""
    async with state.receiver.receive(request.scope, request.receive, InferenceBody) as [body]:
        ready = inference_request.only_ready(body.encoded)
    repository = state.repository
    versions = [each for name in repository.names() for each in repository.versions(name)]
    return inference_models.index(versions, ready)


@router.post("/repository/models/{model}/load", operation_id="v2_load", dependencies=_AUTHORIZED)
@router.post(
    "/repository/models/{model}/unload", operation_id="v2_unload", dependencies=_AUTHORIZED
)
async def load(model: str) -> Response:
    """Not offered: no request changes what is served."""
    raise NotOfferedError(
        f"models are not loaded and unloaded by requests: the repository's folder decides, put "
        f"{model}/<version> there or remove it, and the service follows"
    )
