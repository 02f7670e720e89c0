"""Warnings for the client about images that differ plainly from what the network expects.

size of the image file    → does the network see less than half of the image?
pixels of an unsure image → do ground and subject differ from the training images'?
"""

from collections.abc import Sequence

from models.checkpoint import Card
from models.images import decoding
from models.preprocessing import Pixels
from service.images.encoded import EncodedImage

LEAST_PART = 0.5  # of an image: there is a warning if the network sees less
_PNG = b"\x89PNG"


class Unlike:
    """The warnings about images for the network of one card."""

    def __init__(self, card: Card) -> None:
        spec = self._spec = card.input
        self._expects = card.expects
        self._may_lose = spec.rule is None and spec.resize == "crop"
        self._is_square = spec.width == spec.height  # turned, it sees as much
        size = spec.width.to_bytes(4, "big") + spec.height.to_bytes(4, "big")
        # in the header of a PNG that has the size of the input: the general way takes 4 µs
        self._whole = size if spec.resize_size is None else b""

    def warnings(
        self, images: Sequence[EncodedImage], pixels: Sequence[Pixels], unsure: Sequence[bool]
    ) -> list[list[str]] | None:
        """Return a list of sentences for each image of a request; None if there is no warning.

        `pixels` are the same images, decoded and scaled to the network's input. Ground and subject
        are checked only if `unsure` says that the answer for the image is unsure.
        """
        if not any(unsure) and not (self._may_lose and any(map(self._cut, images))):
            return None
        found = []
        for image, scaled, is_unsure in zip(images, pixels, unsure, strict=True):
            told = []
            if is_unsure and self._expects is not None:
                told = self._expects.unmet(scaled, any_ground=self._spec.rule is not None)
            if self._may_lose and (cut := self._cut(image)):
                told.append(cut)
            found.append(told)
        return found if any(found) else None

    def _cut(self, image: EncodedImage) -> str:
        """The warning that most of an image is cut off; empty if the network sees enough of it."""
        encoded = image.encoded
        if encoded[16:24] == self._whole and encoded.startswith(_PNG):
            return ""
        stored = decoding.size(encoded)
        if stored is None or self._sees_enough(stored):
            return ""
        size = decoding.upright_size(encoded)
        if size is None or (part := self._seen(size)) >= LEAST_PART:
            return ""
        return (
            f"the network saw the middle {100 * part:.2g} % of the image, of {size[0]} × {size[1]} "
            "pixels: cut it to the subject, or send parts of it"
        )

    def _sees_enough(self, stored: tuple[int, int]) -> bool:
        """Return whether the network sees enough of an image, upright or turned by 90°."""
        if self._seen(stored) < LEAST_PART:
            return False
        return self._is_square or self._seen(stored[::-1]) >= LEAST_PART

    def _seen(self, size: tuple[int, int]) -> float:
        """Return which fraction of an image of this `size` (width, height) the network sees."""
        left, top, right, bottom = self._spec.box(size)
        return (right - left) * (bottom - top) / (size[0] * size[1])
