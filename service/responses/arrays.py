"""Arrays as responses: JSON with exact float32, npz files, and the header of a PNG."""

import json
import zipfile
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
import orjson
from fastapi import Response
from numpy.typing import NDArray

NPZ = "application/octet-stream"
TOLD = "X-Fanlight"  # the header that describes a PNG
_MAX_LABEL_CHARACTERS = 200  # of a label in a header


def json_response(content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Return JSON, with arrays as nested lists; numbers that are not finite become null."""
    encoded = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(encoded, media_type="application/json", headers=dict(headers or {}))


def npz_response(
    arrays: Mapping[str, NDArray[Any]], name: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an npz file of the arrays, which `numpy.load` reads without pickle."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:  # savez takes names as keywords, and not all of them
        for key, array in arrays.items():
            with file.open(f"{key}.npy", "w") as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
    attachment = {"Content-Disposition": f'attachment; filename="{name}.npz"'}
    return Response(buffer.getvalue(), media_type=NPZ, headers={**attachment, **(headers or {})})


def png_response(
    picture: bytes, content: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    """Return a PNG; its header X-Fanlight describes `content` as JSON in ASCII."""
    text = json.dumps(_short(content), separators=(",", ":"))
    return Response(picture, media_type="image/png", headers={TOLD: text, **(headers or {})})


def _short(content: Any) -> Any:
    """Cut long texts, since clients refuse headers that are too long."""
    if isinstance(content, Mapping):
        return {name: _short(value) for name, value in content.items()}
    if isinstance(content, str) and len(content) > _MAX_LABEL_CHARACTERS:
        return content[:_MAX_LABEL_CHARACTERS] + "…"
    return content


def statistics(values: NDArray[np.float32]) -> dict[str, float | None]:
    """Return the least, largest and mean value, the standard deviation, and the fraction of zeros.

    A figure that is not finite is None.
    """
    wide = values.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of infinities
        found = {
            "min": wide.min(),
            "max": wide.max(),
            "mean": wide.mean(),
            "std": wide.std(),
            "zeros": np.mean(values == 0),
        }
    return {name: float(each) if np.isfinite(each) else None for name, each in found.items()}
