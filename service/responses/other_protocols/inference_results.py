"""The answer of `infer` of the Open Inference Protocol v2: results → tensors as JSON or as bytes.

    {"model_name", "model_version", "id", "outputs": [{"name", "datatype", "shape", "data"}]}

Binary tensors stand behind the JSON, in the order listed. (KServe, "Open Inference Protocol";
Triton Inference Server's extensions for binary data and for classification.)
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson
from fastapi import Response
from numpy.typing import NDArray

from models.checkpoint import Card
from service.errors import MalformedBodyError, TooLargeError
from service.inference.engine import PredictionResult
from service.requests import tensors
from service.requests.inference_request import HEADER, AskedOutput, InferenceRequest
from service.requests.tensors import BYTES, Tensor

PROBABILITIES, LOGITS, LABEL = "probabilities", "logits", "label"
OUTPUTS = (LOGITS, PROBABILITIES, LABEL)  # the answer where the request names none
MAX_JSON_VALUES = 2**20  # in one answer; binary data has as many as the setting allows
_CLASSIFIED = (PROBABILITIES, LOGITS)
_NONE: Mapping[str, NDArray[np.float32]] = MappingProxyType({})


def asked(request: InferenceRequest) -> Sequence[AskedOutput]:
    """Return the outputs that the answer will have: those asked for, or the usual ones.

    Raises `MalformedBodyError` if a classification of another output than probabilities or logits
    is asked for.
    """
    if not request.outputs:
        return [AskedOutput(name, request.binary) for name in OUTPUTS]
    for each in request.outputs:
        if each.classes is not None and each.name not in _CLASSIFIED:
            raise MalformedBodyError(
                f'"classification" of the output {each.name!r}; possible of '
                f"{' and '.join(_CLASSIFIED)}"
            )
    return request.outputs


def encode(
    card: Card,
    request: InferenceRequest,
    results: Sequence[PredictionResult],
    activations: Mapping[str, NDArray[np.float32]] = _NONE,
) -> Response:
    """Encode the response; `activations` (N, …) are by the name of the layer.

    Raises `TooLargeError` for more than `MAX_JSON_VALUES` values as JSON.
    """
    told: list[dict[str, Any]] = []
    parts: list[bytes] = []
    values = 0
    for each in asked(request):
        tensor = _tensor(each, card, results, activations)
        entry: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": tensor.shape,
        }
        if each.binary:
            parts.append(tensors.to_bytes(tensor))
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            values += math.prod(tensor.shape)
            if values > MAX_JSON_VALUES:
                raise TooLargeError(
                    f"more than {MAX_JSON_VALUES:,} values as JSON; ask for binary data, or for "
                    "fewer layers or images"
                )
            entry["data"] = _flat(tensor)
        told.append(entry)
    content: dict[str, Any] = {"model_name": card.name, "model_version": str(card.version)}
    if request.id is not None:
        content["id"] = request.id
    head = orjson.dumps(content | {"outputs": told}, option=orjson.OPT_SERIALIZE_NUMPY)
    if not parts:
        return Response(head, media_type="application/json")
    return Response(
        b"".join((head, *parts)),
        media_type="application/octet-stream",
        headers={HEADER: str(len(head))},
    )


def _tensor(
    output: AskedOutput,
    card: Card,
    results: Sequence[PredictionResult],
    activations: Mapping[str, NDArray[np.float32]],
) -> Tensor:
    if output.name == LABEL:
        best = [max(range(len(r.probabilities)), key=r.probabilities.__getitem__) for r in results]
        return Tensor(LABEL, BYTES, (len(results),), [card.labels[index] for index in best])
    if output.name == LOGITS:
        values = np.stack([each.logits for each in results])
    elif output.name == PROBABILITIES:
        values = np.array([each.probabilities for each in results], np.float32)
    else:
        values = activations[output.name]
    if output.classes is not None:
        return _classified(output, values, card.labels)
    return Tensor(output.name, "FP32", values.shape, values)


def _classified(output: AskedOutput, values: NDArray[np.float32], labels: Sequence[str]) -> Tensor:
    """The most probable classes of each image, as `value:index:label`."""
    assert output.classes is not None  # noqa: S101 (asked for)
    count = min(output.classes, len(labels))
    ranked = np.argsort(-values, axis=1, kind="stable")[:, :count]
    elements = [
        f"{value:f}:{index}:{labels[index]}"
        for row, order in zip(values, ranked.tolist(), strict=True)
        for index, value in zip(order, row[order].tolist(), strict=True)
    ]
    return Tensor(output.name, BYTES, (len(values), count), elements)


def _flat(tensor: Tensor) -> Any:
    if isinstance(tensor.values, np.ndarray):
        return np.ascontiguousarray(tensor.values).reshape(-1)
    return tensor.values
