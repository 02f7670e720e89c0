"""The decoders of AVIF and HEIC, registered with Pillow when they are first needed.

AVIF comes with Pillow's wheels. HEIC needs the extra `heif`: the wheels of pillow-heif hold x265,
which is GPL, and HEVC has patents. Both decode on one thread: the processes that decode have a
limit of memory, of which each thread takes eight megabytes. Neither decodes an embedded thumbnail
in place of the picture: it may show something else.
"""

from functools import cache

from PIL import AvifImagePlugin, features

from models.errors import ImageError

INSTALL = "pip install 'fanlight[heif]'"


def register_avif() -> None:
    """Make Pillow read AVIF; raises `ImageError` where it can't."""
    if reason := _without_avif():
        raise ImageError(reason)


def register_heic() -> None:
    """Make Pillow read HEIC; raises `ImageError` where the extra is not installed."""
    if reason := _without_heic():
        raise ImageError(reason)


@cache
def _without_avif() -> str | None:
    """Set up Pillow's own reader of AVIF; return the reason, in words, if Pillow has none."""
    if not features.check("avif"):
        return (
            "an AVIF, and this Pillow was built without libavif; install Pillow's own wheel (pip "
            "install --force-reinstall pillow), or save the image as a JPEG"
        )
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    return None


@cache
def _without_heic() -> str | None:
    """Register the reader of HEIC with Pillow; return the reason if it is not installed."""
    try:
        import pillow_heif
    except ImportError:
        return (
            f"a HEIC, which needs the package pillow-heif; install it ({INSTALL}), or save the "
            "image as a JPEG"
        )
    pillow_heif.register_heif_opener(
        thumbnails=False, depth_images=False, aux_images=False, decode_threads=1
    )
    return None
