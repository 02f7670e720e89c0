"""The same picture twice: uint8 pixels (N, C, H, W) → groups of pictures that are copies.

    exact: equal pixels → equal digests
    near:  grey 16×16 thumbnails, whitened → random hyperplanes → equal bits → cosine

Whitening lets what most pictures of the set share count for little: else any two handwritten ones,
or any two pairs of trousers, would be near copies. The hyperplanes are those of SimHash (Charikar
2002, Similarity Estimation Techniques from Rounding Algorithms). The measurement is in
`docs/decisions/data-review.md`.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

SIDE = 16  # pixels of a thumbnail
LEAST, MOST = 0.85, 0.99  # cosines that the threshold for near copies lies between
SAME = 0.999  # cosine of thumbnails as they are, from which on they are the same in any set
_UNLIKE = 0.45  # cosine of usual neighbours, up to which the threshold is the least one
_STEEP = 0.6  # how much the threshold grows with it from there on
_SAMPLE = 256  # pictures whose nearest neighbours tell what is usual
_SHRINKAGE = 0.1  # of the covariance towards the identity, in any set
_PRIOR = SIDE * SIDE  # pictures that the identity counts for
_CHROMA = 12.0  # levels of 255; most that the colours of near copies differ on average
_BITS = (4, 24)  # fewest and most bits of a key
_TABLES = 24  # of keys that near copies have in common with a probability of 0.1 to 0.2
_TABLES_OF_SAME = 4  # of keys of the most bits, in common with a probability of 0.7
_NEIGHBOURS = 200  # of equal keys, with how many that follow a picture is compared
_NEIGHBOURS_OF_SAME = 4  # as above; they are so near each other that a few join all
_BATCH = 4096


def exact(images: Tensor) -> list[list[int]]:
    """The groups of pictures with equal pixels, by index, each in its order."""
    groups: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, picture in enumerate(images.numpy()):
        groups[hashlib.blake2b(picture.tobytes(), digest_size=16).digest()].append(index)
    return [group for group in groups.values() if len(group) > 1]


def near(images: Tensor) -> list[list[int]]:
    """The groups of pictures that are nearly the same: rescaled, saved again, written on.

    A picture is in a group if its cosine to one of the group is at least `threshold`, and its
    colours are the same. Some pairs just above the threshold are missed. The time grows with N,
    not with its square: of many pictures that look alike, each is compared with the next ones.
    """
    if len(images) < 2:
        return []
    found = _thumbnails(images)
    grey, chroma = _centred(found[:, 0].flatten(1)), _chroma(found)
    pairs = list(
        _pairs(grey, chroma, SAME, _keys(grey, _TABLES_OF_SAME, _BITS[1]), _NEIGHBOURS_OF_SAME)
    )
    again = {index for group in components(len(images), pairs) for index in group[1:]}
    once = torch.tensor([index for index in range(len(images)) if index not in again])
    vectors = _whitened(grey[once])  # else what many copies share would count for little
    numbers = once.tolist()
    bits = min(max(len(once).bit_length() - 4, _BITS[0]), _BITS[1])
    keys = _keys(vectors, _TABLES, bits)
    for one, other in _pairs(vectors, chroma[once], threshold(vectors), keys, _NEIGHBOURS):
        pairs.append((numbers[one], numbers[other]))
    return components(len(images), pairs)


def _pairs(
    vectors: Tensor, chroma: Tensor, cosine: float, keys: NDArray[np.int64], neighbours: int
) -> Iterator[tuple[int, int]]:
    """The pairs of unit vectors (N, D) with at least that cosine, some several times."""
    for candidates in _candidates(keys, cosine, neighbours):
        yield from _alike(candidates, vectors, chroma, cosine)


def threshold(vectors: Tensor) -> float:
    """The least cosine of near copies, by how near the neighbours of some pictures usually are.

    Photographs of ants have neighbours at 0.2, handwritten digits at 0.7.
    """
    generator = torch.Generator().manual_seed(0)
    some = torch.randperm(len(vectors), generator=generator)[:_SAMPLE]
    cosines = vectors[some] @ vectors.T
    cosines[torch.arange(len(some)), some] = -1
    usual = cosines.amax(1).median().item()
    return min(LEAST + _STEEP * max(0.0, usual - _UNLIKE), MOST)


def components(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The connected groups of two and more, by the lowest index."""
    root = list(range(count))

    def find(index: int) -> int:
        while root[index] != index:
            root[index] = index = root[root[index]]
        return index

    for one, other in pairs:
        low, high = sorted((find(one), find(other)))
        root[high] = low
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for index in range(count):
        groups[find(index)].append(index)
    return [group for group in groups.values() if len(group) > 1]


def _thumbnails(images: Tensor) -> Tensor:
    """float32 (N, 1 + C, SIDE, SIDE): grey, and the channels."""
    parts = []
    for batch in images.split(_BATCH):
        small = F.interpolate(batch.float(), size=(SIDE, SIDE), mode="area")
        parts.append(torch.cat([small.mean(1, keepdim=True), small], 1))
    return torch.cat(parts)


def _centred(grey: Tensor) -> Tensor:
    """Unit vectors (N, D) without brightness and contrast."""
    return F.normalize(grey - grey.mean(1, keepdim=True), dim=1)


def _whitened(centred: Tensor) -> Tensor:
    """Unit vectors (N, D) whose directions count the less, the more the set varies in them."""
    count, size = centred.shape
    variances, directions = torch.linalg.eigh(centred.T @ centred / count)
    shrinkage = (_SHRINKAGE + _PRIOR / count) / size
    scale = (variances.clamp_min(0) + shrinkage).rsqrt()
    return F.normalize(centred @ (directions * scale), dim=1)


def _chroma(thumbnails: Tensor) -> Tensor:
    """How channels differ from grey, coarsely: (N, C * 16); all 0 where there is one channel."""
    coarse = F.avg_pool2d(thumbnails, SIDE // 4)
    return (coarse[:, 1:] - coarse[:, :1]).flatten(1)


def _keys(vectors: Tensor, tables: int, bits: int) -> NDArray[np.int64]:
    """(N, tables): for each table the key of every vector, on which side of its planes it lies."""
    generator = torch.Generator().manual_seed(0)
    planes = torch.randn(vectors.shape[1], tables * bits, generator=generator)
    sides = (vectors @ planes > 0).view(len(vectors), tables, bits)
    return (sides * 2 ** torch.arange(bits)).sum(2).numpy()


def _candidates(
    keys: NDArray[np.int64], cosine: float, neighbours: int
) -> Iterator[NDArray[np.intp]]:
    """The pairs (M, 2) with a key in common, and not too many unlike bits for the cosine.

    A pair may come several times.
    """
    bits = keys.shape[1] * int(keys.max()).bit_length()
    share = math.acos(cosine) / math.pi  # of the bits that two vectors at this cosine differ in
    most = bits * share + 3 * math.sqrt(bits * share * (1 - share))
    for table in keys.T:
        order = np.argsort(table, kind="stable")
        ordered = table[order]
        start = np.arange(len(order))
        for step in range(1, neighbours + 1):
            start = start[start + step < len(order)]
            start = start[ordered[start] == ordered[start + step]]
            if not len(start):
                break
            one, other = order[start], order[start + step]
            unlike = np.bitwise_count(keys[one] ^ keys[other]).sum(1, dtype=np.int64)
            yield np.stack([one, other], 1)[unlike <= most]


def _alike(
    pairs: NDArray[np.intp], vectors: Tensor, chroma: Tensor, cosine: float
) -> Iterator[tuple[int, int]]:
    if not len(pairs):
        return
    one, other = torch.from_numpy(pairs).unbind(1)
    close = (vectors[one] * vectors[other]).sum(1) >= cosine
    one, other = one[close], other[close]
    same = (chroma[one] - chroma[other]).abs().mean(1) <= _CHROMA
    yield from zip(one[same].tolist(), other[same].tolist(), strict=True)
