"""The metadata that an exported ONNX or safetensors file carries about itself.

The keys are `fanlight.model`, `fanlight.version`, `fanlight.labels` (a JSON list), `fanlight.input`
(a JSON object, see `InputSpec`), and `fanlight.preprocessing`, which is `inside` if the file takes
pixels and normalises them itself.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.preprocessing import InputSpec

if TYPE_CHECKING:
    from onnx import ModelProto

    from models.checkpoint import Card

INSIDE = "inside"
MAX_LENGTH = 16 * 2**20  # characters of an entry


@dataclass(frozen=True)
class Told:
    """The labels and input in the metadata of a graph; empty or None where absent or invalid."""

    labels: tuple[str, ...] = ()
    input: InputSpec | None = None


def entries(card: "Card", *, preprocessing: bool) -> dict[str, str]:
    """Return the metadata for an export of that version."""
    return {
        "fanlight.model": card.name,
        "fanlight.version": str(card.version),
        "fanlight.labels": json.dumps(card.labels, ensure_ascii=False),
        "fanlight.input": card.input.model_dump_json(),
        "fanlight.preprocessing": INSIDE if preprocessing else "outside",
    }


def read(model: "ModelProto") -> Told:
    """Read labels and input from the graph's metadata.

    A graph with preprocessing inside gets an input without mean and deviation.
    """
    found = {each.key: each.value for each in model.metadata_props if len(each.value) <= MAX_LENGTH}
    try:
        labels = json.loads(found.get("fanlight.labels", "[]"))
        spec = None
        if "fanlight.input" in found:
            spec = InputSpec.model_validate_json(found["fanlight.input"])
    except (RecursionError, ValueError):
        return Told()
    if not isinstance(labels, list) or not all(isinstance(each, str) for each in labels):
        labels = []
    if spec is not None and found.get("fanlight.preprocessing") == INSIDE:
        neutral: dict[str, tuple[float, ...]] = {"mean": (), "std": ()}
        spec = InputSpec.model_validate(spec.model_dump() | neutral)
    return Told(tuple(labels), spec)
