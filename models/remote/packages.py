"""Protocols of object storage → the package that fsspec needs, and the extra that brings it."""

from models.errors import InstallationError

PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), ("s3fs", "s3")),
    **dict.fromkeys(("gs", "gcs"), ("gcsfs", "gcs")),
    "hf": ("huggingface_hub", "hf"),
    **dict.fromkeys(("http", "https"), ("aiohttp", "http")),
}
"""Protocol → module, and extra of Fanlight."""


def missing(what: str, protocol: str, error: ImportError) -> InstallationError:
    """Return the error for a package that is missing; `what` is what needs it."""
    if protocol not in PACKAGES:
        return InstallationError(f"{what} needs a package of fsspec for {protocol}://: {error}")
    module, extra = PACKAGES[protocol]
    return InstallationError(
        f"{what} needs {module}, which is not installed; pip install 'fanlight[{extra}]'"
    )
