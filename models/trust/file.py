"""trust.safetensors: what is too large for the card; float32 tensors and nothing else.

Trust → bytes → the file beside the weights → size, names, shapes, values checked → Trust

label_scores, label_ranks  (M,)   scores of right labels, and how many are no higher
statistics, ranks          (M,)   of the familiarity, the same
method.<name>                     the buffers of the method's statistic
"""

import json
import struct
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from models.trust.card import Calibration, Familiarity
from models.trust.errors import TrustError
from models.trust.methods.method import METHODS
from models.trust.ranks import MAX_KEPT, Ranks
from models.trust.trust import Trust

TRUST = "trust.safetensors"
MAX_BYTES = 32 * 2**20
_MAX_HEADER = 64 * 2**10
_METHOD = "method."


def to_bytes(trust: Trust) -> bytes:
    """Return the content of the file; raise `TrustError` if it would be too large."""
    tensors = _ranks("label_scores", "label_ranks", trust.label_scores)
    if trust.statistics is not None and trust.method is not None:
        tensors |= _ranks("statistics", "ranks", trust.statistics)
        tensors |= {_METHOD + name: each.cpu() for name, each in trust.method.named_buffers()}
    content: bytes = safetensors.torch.save(tensors)
    if len(content) > MAX_BYTES:
        raise TrustError(f"{TRUST} would have {len(content):,} bytes; at most {MAX_BYTES:,} do")
    return content


def check_size(size: int) -> None:
    """Raise `TrustError` if a file has more bytes than are read."""
    if size > MAX_BYTES:
        raise TrustError(f"{TRUST} has {size:,} bytes; at most {MAX_BYTES:,} are read")


def read(
    file: BinaryIO,
    calibration: Calibration,
    familiarity: Familiarity | None,
    num_classes: int,
) -> Trust:
    """Read the trust from an open file and its card; the caller compares the file's SHA-256.

    Raises `TrustError` for what `to_bytes` does not write. Takes as much memory as the file is
    large, which is bounded.
    """
    content = file.read(MAX_BYTES + 1)
    check_size(len(content))
    if calibration.usual is not None and len(calibration.usual.labels) != num_classes:
        raise TrustError("the card's usual labels are not as many as its labels")
    tensors = _tensors(content)
    label_scores = _read_ranks(tensors, "label_scores", "label_ranks", calibration.images)
    if familiarity is None:
        _check_empty(tensors)
        return Trust(calibration, label_scores)
    statistics = _read_ranks(tensors, "statistics", "ranks", familiarity.images)
    own = {name: each for name, each in tensors.items() if name.startswith(_METHOD)}
    _check_empty({name: each for name, each in tensors.items() if name not in own})
    method = METHODS.get(familiarity.method)
    statistic = method.build(
        {n.removeprefix(_METHOD): each for n, each in own.items()}, num_classes
    )
    return Trust(calibration, label_scores, familiarity, statistic.eval(), statistics)


def _tensors(content: bytes) -> dict[str, Tensor]:
    """Return the tensors by name; raise `TrustError` for other types, or a value that is not
    finite."""
    try:
        (length,) = struct.unpack("<Q", content[:8])
        if length > _MAX_HEADER:
            raise TrustError(
                f"the head of {TRUST} has {length:,} bytes; at most {_MAX_HEADER:,} do"
            )
        head = json.loads(content[8 : 8 + length])
        types = {each["dtype"] for name, each in head.items() if name != "__metadata__"}
        if types != {"F32"}:
            raise TrustError(f"{TRUST} must have tensors of float32, and no others")
        tensors: dict[str, Tensor] = safetensors.torch.load(content)
    except (
        struct.error,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
    ) as error:
        raise TrustError(f"{TRUST} is not a file of safetensors") from error
    except SafetensorError as error:
        raise TrustError(f"{TRUST} is not a file of safetensors: {error}") from error
    for name, each in tensors.items():
        if not torch.isfinite(each).all():
            raise TrustError(f"{TRUST}: {ascii(name)[:100]} has a value that is not finite")
    return tensors


def _ranks(values: str, ranks: str, found: Ranks) -> dict[str, Tensor]:
    """Return the two tensors, by name, that store these ranks.

    float32 is exact for the counts, which are below 2²⁴.
    """
    return {
        values: torch.from_numpy(np.ascontiguousarray(found.values)),
        ranks: torch.from_numpy(found.ranks.astype(np.float32)),
    }


def _read_ranks(tensors: dict[str, Tensor], values: str, ranks: str, count: int) -> Ranks:
    """Remove both from `tensors` and return them; raise `TrustError` if not of `count` images."""
    if values not in tensors or ranks not in tensors:
        raise TrustError(f"{TRUST} has no tensors {values} and {ranks}")
    scores, found = tensors.pop(values).numpy(), tensors.pop(ranks).numpy()
    fitting = scores.ndim == 1 and scores.shape == found.shape and 0 < len(scores) <= MAX_KEPT
    if not fitting or (np.diff(scores) <= 0).any() or (np.diff(found) <= 0).any():
        raise TrustError(f"{TRUST}: {values} and {ranks} are not rising, or not as many")
    if found[0] < 1 or found[-1] != count or (found != np.floor(found)).any():
        raise TrustError(
            f"{TRUST}: {ranks} doesn't count the {count:,} images that the card states"
        )
    return Ranks(scores, found.astype(np.int64))


def _check_empty(tensors: Mapping[str, Tensor]) -> None:
    if tensors:
        raise TrustError(f"{TRUST} has tensors that nothing needs: {ascii(sorted(tensors))[:200]}")
