"""The address of a repository elsewhere, such as s3://bucket/models; imports no torch."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from models.errors import FanlightError, OptionError

CACHE = "FANLIGHT_CACHE"
"""The variable that names the folder of copies; by default fanlight/remote in the user's cache."""
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.DOTALL)
_WEB = ("http", "https")
_LOCAL = "file"
_WITH_FOLDERS = (_LOCAL, "memory")


class RemoteError(FanlightError):
    """A repository elsewhere can't be reached, or holds what must not be taken."""


@dataclass(frozen=True)
class Address:
    """Where a repository elsewhere is: the protocol of fsspec, and the path with its host."""

    protocol: str
    path: str

    def __str__(self) -> str:
        return f"{self.protocol}://{self.path}"

    @property
    def is_web(self) -> bool:
        """True for a web server, which lists nothing and takes nothing."""
        return self.protocol in _WEB

    @property
    def has_folders(self) -> bool:
        """True if a folder has to be made before a file is written to it."""
        return self.protocol in _WITH_FOLDERS

    @property
    def cache(self) -> Path:
        """The folder of its local copy, which need not exist."""
        name = re.sub(r"[^a-z0-9]+", "-", str(self).lower()).strip("-")[:60]
        return cache_folder() / f"{name}-{hashlib.sha256(str(self).encode()).hexdigest()[:16]}"


def cache_folder() -> Path:
    """The folder of all local copies: that of FANLIGHT_CACHE, or in the user's cache."""
    if named := os.environ.get(CACHE):
        return Path(named).absolute()
    usual = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(usual).expanduser().absolute() / "fanlight" / "remote"


def address_of(repository: Path | str) -> Address | None:
    """Return the address that a repository's text is, or None for a folder.

    A path is taken too, in which slashes are merged (`s3:/bucket`). Raises `OptionError` for an
    address with a password or a query, which would be shown in logs, and for one without a path.
    """
    found = _ADDRESS.fullmatch(str(repository))
    if found is None:
        return None
    protocol, path = found[1], found[2].strip("/")
    host = path.partition("/")[0]
    if "@" in host:
        raise OptionError(
            f"{protocol}://…@{host.rpartition('@')[2]} holds a user or password; leave them out, "
            "and give credentials as the storage's own variables or files do (AWS_PROFILE, "
            "GOOGLE_APPLICATION_CREDENTIALS, HF_TOKEN)"
        )
    if "?" in path or "#" in path:
        raise OptionError(
            f"{protocol}://{re.split('[?#]', path)[0]} goes on with a query or fragment, which may "
            "hold a secret: leave it out, and name the folder of the models"
        )
    if not path or ".." in path.split("/"):
        raise OptionError(
            f"{protocol}:// must be followed by the place of the models, without '..', as in "
            "s3://bucket/models"
        )
    return Address(protocol, f"/{path}" if protocol == _LOCAL else path)
