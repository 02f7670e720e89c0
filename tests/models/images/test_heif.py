"""HEIC is an extra: where it is missing, the error says how to install it."""

import subprocess
import sys

import pytest

from models.images import heif

WITHOUT = """
import sys
sys.modules["pillow_heif"] = None  # as if it were not installed
from models.images import decoding, formats as image_formats
from models.errors import ImageError
print(image_formats.FORMATS.get("heic").is_available, "heif" in image_formats.taken())
for _ in range(2):
    try:
        decoding.decode(b"\\0\\0\\0\\x18ftypheic\\0\\0\\0\\0heic" + bytes(99))
    except ImageError as error:
        print(error)
"""


@pytest.mark.slow
def test_where_the_package_is_missing() -> None:
    command = [sys.executable, "-c", WITHOUT]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    reason = (
        "a HEIC, which needs the package pillow-heif; install it "
        "(pip install 'fanlight[heif]'), or save the image as a JPEG"
    )
    assert told == ["False False", reason, reason]


def test_pillow_reads_it_on_one_thread_without_thumbnails() -> None:
    heif.register_heic()
    from pillow_heif import options

    assert options.DECODE_THREADS == 1
    assert not options.THUMBNAILS
    heif.register_avif()
    from PIL import AvifImagePlugin

    assert AvifImagePlugin.DEFAULT_MAX_THREADS == 1
