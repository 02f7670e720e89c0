"""What models there are, and what each of them is."""

from fastapi import APIRouter, Depends

from service import explaining, openapi
from service.repository import Version
from service.routes.dependencies import RepositoryDependency, VersionQuery, authorize
from service.schemas import LayerInfo, ModelDetail, ModelList, ModelSummary, VersionState

router = APIRouter(prefix="/v1/models", tags=["models"], dependencies=[Depends(authorize)])


@router.get(
    "",
    operation_id="list_models",
    summary="List the models",
    response_model_exclude_none=True,
    responses=openapi.problems(401),
)
async def list_models(repository: RepositoryDependency) -> ModelList:
    """The models, their versions and states."""
    return ModelList(
        models=[
            ModelSummary(name=name, versions=_states(repository.versions(name)))
            for name in repository.names()
        ]
    )


@router.get(
    "/{model}",
    operation_id="get_model",
    summary="Describe a model",
    response_model_exclude_none=True,
    responses=openapi.problems(401, 404, 422, 503),
)
async def get_model(
    model: str, repository: RepositoryDependency, version: VersionQuery = None
) -> ModelDetail:
    """The card of a model (labels, input, metrics, how it was trained) and its layers."""
    found = repository.ready(model, version).checkpoint
    looked_at = explaining.grad_cam_layers(found.layers)
    return ModelDetail(
        model=model,
        version=found.card.version,
        versions=_states(repository.versions(model)),
        card=found.card,
        layers=[
            LayerInfo(
                name=layer.name,
                type=layer.type,
                arguments=dict(layer.arguments),
                input_shape=list(layer.input_shape),
                output_shape=list(layer.output_shape),
                parameters=layer.parameters,
                multiply_adds=layer.multiply_adds,
                features=True,
                kernels=layer.kernels is not None,
                grad_cam=layer.name in looked_at,
            )
            for layer in found.layers
        ],
    )


def _states(versions: list[Version]) -> list[VersionState]:
    return [
        VersionState(
            version=each.number,
            state=each.state,
            reason=each.reason,
            runtime=each.loaded.chosen.runtime.name if each.loaded else None,
            fallback=each.loaded.chosen.fallback if each.loaded else None,
        )
        for each in versions
    ]
