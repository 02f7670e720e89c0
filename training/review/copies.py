"""Search for copies: uint8 pixels (N, C, H, W) → groups of pictures that are copies of each other.

    exact: equal pixels → equal digests
    near:  16×16 thumbnails, turned so that the brighter side is on the right and below, grey,
           whitened → random hyperplanes → equal bits → cosine

Turning gives mirrored and turned copies of a photograph the same orientation, so one search
compares all eight symmetries of a square. A picture whose brighter side is not clear is compared in
several orientations. If many pictures of the set look alike, as strokes do, they are not turned.

Whitening gives little weight to what most pictures of the set share. Otherwise any two handwritten
digits, or any two pairs of trousers, would be near copies. The hyperplanes are those of SimHash
(Charikar 2002, Similarity Estimation Techniques from Rounding Algorithms). The measurement is in
`docs/decisions/data-review.md`.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from training.data.storage import Pixels

SIDE = 16  # pixels of a thumbnail
LEAST, MOST = 0.85, 0.99  # cosines that the threshold for near copies lies between
SAME = 0.999  # cosine of thumbnails as they are, from which on they are the same in any set
_UNLIKE = 0.45  # cosine of usual neighbours, up to which the threshold is the least one
_STEEP = 0.6  # how much the threshold grows with it from there on
_SAMPLE = 256  # pictures whose nearest neighbours tell what is usual
_SHRINKAGE = 0.1  # of the covariance towards the identity, in any set
_PRIOR = SIDE * SIDE  # pictures that the identity counts for
_UNCLEAR = 0.02  # cosine to a ramp of grey, up to which another orientation takes part too
_MOST_UNCLEAR = 0.1  # of the pictures, for each of three choices of the orientation
_LUMA = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)  # of red, green, blue (BT.601)
_CHROMA = 12.0  # levels of 255; most that the colours of near copies differ on average
_GREY = 1.0  # levels of 255, as above; a picture with less is grey, perhaps a copy that was made so
_BITS = (4, 24)  # fewest and most bits of a key
_TABLES = 24  # of keys that near copies have in common with a probability of 0.1 to 0.2
_TABLES_OF_SAME = 4  # of keys of the most bits, in common with a probability of 0.7
_NEIGHBOURS = 200  # of equal keys, with how many that follow a picture is compared
_NEIGHBOURS_OF_SAME = 4  # as above; they are so near each other that a few join all
_BATCH = 256


def exact(images: Pixels) -> list[list[int]]:
    """Groups of two or more pictures of `images` (N, C, H, W) whose pixels are all equal.

    A group lists the indices of its pictures, lowest first. A picture without a copy is in none.
    """
    groups: defaultdict[bytes, list[int]] = defaultdict(list)
    pictures = (picture for batch in images.split(_BATCH) for picture in batch.numpy())
    for index, picture in enumerate(pictures):
        groups[hashlib.blake2b(picture.tobytes(), digest_size=16).digest()].append(index)
    return [group for group in groups.values() if len(group) > 1]


def near(images: Pixels) -> list[list[int]]:
    """Find groups of two or more pictures of `images` (N, C, H, W) that are nearly the same.

    These are copies that were rescaled, saved again, made grey, darker or brighter, or written on.
    In sets whose pictures are unlike each other, such as photographs, they are also mirrored copies
    and those turned by 90, 180 or 270 degrees. Copies that were squashed, or lost more than a few
    percent at a side, are not found.

    A picture belongs to a group if its cosine to one picture of the group is at least `threshold`,
    and their colours agree. Some pairs just above the threshold are missed. The time grows with N,
    not with its square: of many pictures that look alike, each is compared with the next ones that
    are not in its group yet.
    """
    if len(images) < 2:
        return []
    groups, numbers = Groups(len(images)), np.arange(len(images))
    thumbnails = _thumbnails(images)
    vectors, once = _distinct(groups, numbers, thumbnails)
    least = threshold(vectors)
    if least == LEAST:  # of strokes and clothes, many are almost the mirror image of another one
        thumbnails, turned = _turned(thumbnails[once])
        numbers = once[turned]
        vectors, once = _distinct(groups, numbers, thumbnails)
    chroma, numbers = _chroma(thumbnails[once]), numbers[once]
    bits = min(max(len(vectors).bit_length() - 4, _BITS[0]), _BITS[1])
    keys = _keys(vectors, _TABLES, bits)
    _join(groups, numbers, vectors, chroma, least, keys, _NEIGHBOURS)
    return groups.lists()


def _distinct(
    groups: "Groups", numbers: NDArray[np.intp], thumbnails: Tensor
) -> tuple[Tensor, NDArray[np.intp]]:
    """Join the pictures whose thumbnails (N, 1 + C, SIDE, SIDE) are the same.

    `numbers` (N,) are the pictures' numbers in `groups`. Returns the whitened vectors of the first
    picture of each group, and their indices in `numbers`. If all copies of a large group were
    whitened, the features that they share would get too little weight.
    """
    grey = _centred(thumbnails[:, 0].flatten(1))
    keys = _keys(grey, _TABLES_OF_SAME, _BITS[1])
    _join(groups, numbers, grey, _chroma(thumbnails), SAME, keys, _NEIGHBOURS_OF_SAME)
    once = np.flatnonzero(groups.root[numbers] == numbers)
    return _whitened(grey[once]), once


class Groups:
    """Numbers from 0 to `count` - 1, which are joined pair by pair into groups (union-find).

    `root[i]` is the lowest number in the group of the number i; a number without others is its own.
    Methods take pairs as an array (M, 2).
    """

    def __init__(self, count: int) -> None:
        self.root = np.arange(count)

    def are_apart(self, pairs: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether the two numbers of each pair are in different groups: bool (M,)."""
        one, other = self.root[pairs].T
        return np.asarray(one != other)

    def join(self, pairs: NDArray[np.intp]) -> None:
        while len(pairs := pairs[self.are_apart(pairs)]):
            one, other = self.root[pairs].T
            np.minimum.at(self.root, np.maximum(one, other), np.minimum(one, other))
            while ((nearer := self.root[self.root]) != self.root).any():
                self.root = nearer

    def lists(self) -> list[list[int]]:
        """The groups with two numbers or more, sorted by their lowest number."""
        members: defaultdict[int, list[int]] = defaultdict(list)
        for number, root in enumerate(self.root.tolist()):
            members[root].append(number)
        return [group for group in members.values() if len(group) > 1]


def _join(
    groups: Groups,
    numbers: NDArray[np.intp],
    vectors: Tensor,
    chroma: Tensor,
    cosine: float,
    keys: NDArray[np.int64],
    neighbours: int,
) -> None:
    """Join the pictures whose vectors (N, D) have at least this cosine.

    `numbers` (N,) are the pictures' numbers in `groups`. The vectors have the length 1. Pictures
    that are in one group already are not compared again.
    """
    for pairs in _candidates(keys, neighbours):
        pairs = pairs[groups.are_apart(numbers[pairs])]
        pairs = pairs[_have_like_bits(keys, pairs, cosine)]
        groups.join(numbers[pairs[are_alike(pairs, vectors, chroma, cosine)]])


def threshold(vectors: Tensor) -> float:
    """Return the cosine similarity from which two pictures are near copies, `LEAST` to `MOST`.

    `vectors` (N, D) have unit length. The threshold rises with the usual similarity of a picture
    and its nearest neighbour, the median of a sample: about 0.2 for photographs of ants, 0.7 for
    handwritten digits.
    """
    generator = torch.Generator().manual_seed(0)
    some = torch.randperm(len(vectors), generator=generator)[:_SAMPLE]
    cosines = vectors[some] @ vectors.T
    cosines[torch.arange(len(some)), some] = -1
    usual = cosines.amax(1).median().item()
    return min(LEAST + _STEEP * max(0.0, usual - _UNLIKE), MOST)


def _thumbnails(images: Pixels) -> Tensor:
    """Return thumbnails, float32 (N, 1 + C, SIDE, SIDE): grey, then the channels."""
    parts = []
    for batch in images.split(_BATCH):
        small = F.interpolate(batch.float(), size=(SIDE, SIDE), mode="area")
        grey = small if len(small[0]) == 1 else (small * _LUMA).sum(1, keepdim=True)
        parts.append(torch.cat([grey, small], 1))
    return torch.cat(parts)


def _turned(thumbnails: Tensor) -> tuple[Tensor, NDArray[np.intp]]:
    """Turn the thumbnails to orientations that mirrored and turned copies share.

    Of its eight orientations, a picture gets the one that is brighter on the right and below, and
    more so on the right. If that is not clear, it gets each orientation that may be right. Returns
    thumbnails (M, 1 + C, SIDE, SIDE) and the number of the picture of each, (M,).
    """
    # the third power, since handwritten digits are centred by the first
    ramp = F.normalize(torch.linspace(-1, 1, SIDE).pow(3).expand(SIDE, SIDE).flatten(), dim=0)
    grey = _centred(thumbnails[:, 0].flatten(1))
    right, below = grey @ ramp, grey @ ramp.view(SIDE, SIDE).T.flatten()
    measures = torch.stack([right, below, right.abs() - below.abs()], 1)  # (N, 3)
    unclear = measures.abs().sort(0).values[int(len(measures) * _MOST_UNCLEAR)].clamp(max=_UNCLEAR)
    parts, numbers = [], []
    for other in product((False, True), repeat=3):
        changed = torch.tensor(other)
        number = ((measures.abs() < unclear) | ~changed).all(1).nonzero().flatten()
        across, down, over = ((measures[number] < 0) ^ changed)[..., None, None, None].unbind(1)
        part = thumbnails[number]
        part = torch.where(across, part.flip(3), part)
        part = torch.where(down, part.flip(2), part)
        parts.append(torch.where(over, part.transpose(2, 3), part))
        numbers.append(number)
    return torch.cat(parts), torch.cat(numbers).numpy()


def _centred(grey: Tensor) -> Tensor:
    """Remove brightness and contrast from vectors (N, D): mean 0, length 1."""
    return F.normalize(grey - grey.mean(1, keepdim=True), dim=1)


def _whitened(centred: Tensor) -> Tensor:
    """Whiten vectors (N, D): the more the set varies in a direction, the less weight it gets.

    The result has length 1.
    """
    count, size = centred.shape
    variances, directions = torch.linalg.eigh(centred.T @ centred / count)
    shrinkage = (_SHRINKAGE + _PRIOR / count) / size
    scale = (variances.clamp_min(0) + shrinkage).rsqrt()
    return F.normalize(centred @ (directions * scale), dim=1)


def _chroma(thumbnails: Tensor) -> Tensor:
    """Return how channels differ from grey, on a 4×4 grid: (N, C * 16), all 0 with one channel."""
    coarse = F.avg_pool2d(thumbnails, SIDE // 4)
    return (coarse[:, 1:] - coarse[:, :1]).flatten(1)


def _keys(vectors: Tensor, tables: int, bits: int) -> NDArray[np.int64]:
    """Hash vectors by random hyperplanes: a key of `bits` bits for each table, (N, tables)."""
    generator = torch.Generator().manual_seed(0)
    planes = torch.randn(vectors.shape[1], tables * bits, generator=generator)
    sides = (vectors @ planes > 0).view(len(vectors), tables, bits)
    return (sides * 2 ** torch.arange(bits)).sum(2).numpy()


def _candidates(keys: NDArray[np.int64], neighbours: int) -> Iterator[NDArray[np.intp]]:
    """Yield pairs (M, 2) of vectors with a key in common; a pair may come several times.

    A vector is paired with at most `neighbours` that follow it in a table.
    """
    for table in keys.T:
        order = np.argsort(table, kind="stable")
        ordered = table[order]
        start = np.arange(len(order))
        for step in range(1, neighbours + 1):
            start = start[start + step < len(order)]
            start = start[ordered[start] == ordered[start + step]]
            if not len(start):
                break
            yield np.stack([order[start], order[start + step]], 1)


def _have_like_bits(
    keys: NDArray[np.int64], pairs: NDArray[np.intp], cosine: float
) -> NDArray[np.bool_]:
    """Return whether the keys of each pair are equal enough for the cosine: bool (M,)."""
    bits = keys.shape[1] * int(keys.max()).bit_length()
    share = math.acos(cosine) / math.pi  # of the bits that two vectors at this cosine differ in
    most = bits * share + 3 * math.sqrt(bits * share * (1 - share))
    one, other = pairs.T
    unlike = np.bitwise_count(keys[one] ^ keys[other]).sum(1, dtype=np.int64)
    return np.asarray(unlike <= most)


def are_alike(
    pairs: NDArray[np.intp], vectors: Tensor, chroma: Tensor, cosine: float
) -> NDArray[np.bool_]:
    """Whether the pictures of each pair are near copies: bool (M,).

    Their vectors must have at least that cosine, and their colours must agree.
    """
    one, other = torch.from_numpy(pairs).unbind(1)
    close = (vectors[one] * vectors[other]).sum(1) >= cosine
    own, others = chroma[one], chroma[other]
    least = torch.minimum(own.abs().mean(1), others.abs().mean(1))
    same = ((own - others).abs().mean(1) <= _CHROMA) | (least <= _GREY)
    return (close & same).numpy()
