"""API keys: how a key is made, and the file that lists keys.

Each line of the file is `NAME sha256:HEX`, where HEX is the SHA-256 of the key in hexadecimal
digits. Empty lines and lines that begin with `#` are ignored. `fanlight key NAME` makes a key and
adds its line.

Keys are 256 random bits, so a plain hash is enough: nobody can guess one. (A slow hash, as for
passwords, would cost each request as much as the prediction.)
"""

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from models.errors import OptionError, damaged
from service.access import reloading

PREFIX = "fl_"  # so that people, and scanners of source code, know what it is
NAMES = "letters, digits, '.', '_' and '-', at most 64, the first a letter or a digit"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LINE = re.compile(r"(\S+)\s+sha256:([0-9A-Fa-f]{64})")


def digest(key: bytes) -> bytes:
    """Return the SHA-256 of a key, which the file holds and by which keys are looked up."""
    return hashlib.sha256(key).digest()


def new() -> str:
    """Make a new key: 256 random bits as text, after the prefix `fl_`."""
    return PREFIX + secrets.token_urlsafe(32)


def line(name: str, key: str) -> str:
    """Return the line of the file for a key; raise `OptionError` for an invalid name."""
    if not _NAME.fullmatch(name):
        raise OptionError(f"{name!r} can't be the name of a key; a name has {NAMES}")
    return f"{name} sha256:{digest(key.encode()).hex()}"


def read(path: Path) -> dict[bytes, str]:
    """Read a file of keys: digest → name. Several keys may have the same name.

    Raises `OSError`, or `DamagedFileError` for a file that is malformed, has no key, or can be
    changed by every user. No error message shows the content of a line, since it may be a key.
    """
    if os.name == "posix" and path.stat().st_mode & stat.S_IWOTH:
        raise damaged(path, f"can be changed by every user; chmod o-w {path}")
    return parse(path, reloading.read(path))


def parse(path: Path, content: bytes) -> dict[bytes, str]:
    """Parse the content of a file of keys: digest → name.

    Raises `DamagedFileError`, which names `path`, for content that is malformed or has no key.
    """
    names: dict[bytes, str] = {}
    lines = content.decode("utf-8-sig", errors="replace").splitlines()
    for number, text in enumerate(lines, 1):
        stripped = text.strip()
        if not stripped or stripped.startswith("#"):
            continue
        found = _LINE.fullmatch(stripped)
        if found is None:
            raise damaged(
                path,
                "is not 'NAME sha256:HEX' with the 64 digits of a key's SHA-256; "
                f"fanlight key NAME --api-key-file {path} adds a line",
                line=number,
            )
        name, hashed = found[1], bytes.fromhex(found[2])
        if not _NAME.fullmatch(name):
            raise damaged(path, f"has no name of a key; a name has {NAMES}", line=number)
        if hashed in names:
            raise damaged(path, f"repeats a key, that of {names[hashed]}; remove one", line=number)
        names[hashed] = name
    if not names:
        raise damaged(path, f"has no key; fanlight key NAME --api-key-file {path} adds one")
    return names


def add(path: Path, name: str, key: str) -> Mapping[bytes, str]:
    """Add a key to the file, and return all keys of the file. A missing file is created.

    The line is appended with one call, so that two concurrent writers lose nothing. Raises
    `OptionError` for an invalid name, `OSError` or `DamagedFileError` for a file that can't be
    used.
    """
    added = line(name, key)
    before = b""
    if path.exists():
        before = reloading.read(path)
        if before.strip():
            read(path)
    separator = "\n" if before and not before.endswith(b"\n") else ""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "ab", buffering=0) as file:
        file.write(f"{separator}{added}\n".encode())
        os.fsync(descriptor)
    return read(path)
