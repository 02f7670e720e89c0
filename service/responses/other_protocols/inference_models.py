"""Answers of the Open Inference Protocol v2 about the server and its models.

They are metadata, configuration, statistics, and the index of the repository.
"""

from collections.abc import Sequence
from typing import Any

from models.checkpoint import Card
from service.inference.statistics import Duration, Statistics
from service.repository.loading import ServingModel
from service.repository.repository import Version
from service.requests.inference_request import IMAGE
from service.requests.tensors import BYTES
from service.responses.other_protocols.inference_results import LABEL, LOGITS, PROBABILITIES

INPUT = "input"
PLATFORM = "fanlight"
EXTENSIONS = [
    "classification",
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "schedule_policy",
    "statistics",
]
_STAGES = {
    "queue": "queue",
    "compute_input": "decode",
    "compute_infer": "forward",
    "compute_output": "encode",
}
"""Name in the protocol → stage of `service.inference.statistics`."""
_STATES = {"ready": "READY", "loading": "LOADING", "failed": "UNAVAILABLE"}


def server(version: str) -> dict[str, Any]:
    """The server's metadata."""
    return {"name": PLATFORM, "version": version, "extensions": EXTENSIONS}


def model(card: Card, versions: Sequence[Version]) -> dict[str, Any]:
    """Return a model's metadata; the first dimension of each shape is the number of images."""
    classes = len(card.labels)
    return {
        "name": card.name,
        "versions": [str(each.number) for each in versions if each.loaded],
        "platform": PLATFORM,
        "inputs": [
            {"name": IMAGE, "datatype": BYTES, "shape": [-1, 1]},
            {"name": INPUT, "datatype": "UINT8", "shape": [-1, *card.input.shape]},
        ],
        "outputs": [
            {"name": LOGITS, "datatype": "FP32", "shape": [-1, classes]},
            {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, classes]},
            {"name": LABEL, "datatype": BYTES, "shape": [-1]},
        ],
    }


def config(card: Card, max_images: int) -> dict[str, Any]:
    """Return a model's configuration, as Triton's clients read it.

    Both inputs are optional, since a request sends one of them.
    """
    classes = len(card.labels)
    scalar: dict[str, Any] = {"dims": [1], "reshape": {"shape": []}}
    return {
        "name": card.name,
        "platform": PLATFORM,
        "backend": PLATFORM,
        "max_batch_size": max_images,
        "input": [
            {"name": IMAGE, "data_type": "TYPE_STRING", "optional": True, **scalar},
            {
                "name": INPUT,
                "data_type": "TYPE_UINT8",
                "format": "FORMAT_NCHW",
                "dims": list(card.input.shape),
                "optional": True,
            },
        ],
        "output": [
            {"name": LOGITS, "data_type": "TYPE_FP32", "dims": [classes]},
            {"name": PROBABILITIES, "data_type": "TYPE_FP32", "dims": [classes]},
            {"name": LABEL, "data_type": "TYPE_STRING", **scalar},
        ],
        "dynamic_batching": {},
    }


def statistics(serving: ServingModel) -> dict[str, Any]:
    """Return the statistics of one version, as this process has counted them."""
    card, counted = serving.checkpoint.card, serving.statistics
    return {"name": card.name, "version": str(card.version), **_statistics(counted)}


def _statistics(counted: Statistics) -> dict[str, Any]:
    counted.sum_up()
    stages = {
        "success": counted.answered,
        "fail": counted.failed,
        **{name: _of_answered(counted, stage) for name, stage in _STAGES.items()},
        "cache_hit": Duration(),
        "cache_miss": Duration(),
    }
    return {
        "last_inference": counted.last_milliseconds,
        "inference_count": counted.images,
        "execution_count": sum(each.count for each in counted.passes.values()),
        "inference_stats": {name: _duration(each) for name, each in stages.items()},
        "batch_stats": [
            {
                "batch_size": size,
                "compute_input": _duration(Duration()),
                "compute_infer": _duration(each),
                "compute_output": _duration(Duration()),
            }
            for size, each in sorted(counted.passes.items())
        ],
    }


def _of_answered(counted: Statistics, stage: str) -> Duration:
    """Return the time in a stage, with the number of answered requests: clients divide by it.

    A request is counted in a stage when it leaves it, at another moment in each, and perf_analyzer
    ends if the numbers differ.
    """
    return Duration(counted.answered.count, counted.stages[stage].seconds)


def _duration(counted: Duration) -> dict[str, int]:
    return {"count": counted.count, "ns": round(1e9 * counted.seconds)}


def index(versions: Sequence[Version], ready: bool) -> list[dict[str, Any]]:
    """Return the index entries of these versions; with `ready`, only of those that are ready."""
    return [
        {
            "name": each.name,
            "version": str(each.number),
            "state": _STATES[each.state],
            "reason": each.reason or "",
        }
        for each in versions
        if each.state == "ready" or not ready
    ]
