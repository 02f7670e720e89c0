"""Files that cost far more to decode than their size suggests: a generator for each format.

Each is valid, or nearly: what makes it costly is what it holds much of. `CASES` has their names.
"""

from tests.service.images.costly import bmp, gif, heif, jpeg, png, ppm, tiff, webp
from tests.service.images.costly.parts import CASES

__all__ = ["CASES", "bmp", "gif", "heif", "jpeg", "png", "ppm", "tiff", "webp"]
