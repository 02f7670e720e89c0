"""How many connections a process may have: each is an open file, and other files need room too."""

from contextlib import suppress
from pathlib import Path

USUAL_CONNECTIONS = 4096  # of which each may hold 64 KiB of a head
RESERVED_FILES = 128  # for models, pages, processes that are started, and connections too many
_MIN_CONNECTIONS = 8  # connections, however few files may be open


def max_connections(asked: int | None = None) -> int:
    """Return how many connections to allow: `asked`, by default `USUAL_CONNECTIONS`.

    It is fewer if the limit of open files is too low for that.
    """
    wanted = asked or USUAL_CONNECTIONS
    limit = _limit()
    if limit is None:
        return wanted
    reserved = min(RESERVED_FILES, limit // 3)
    return min(wanted, max(_MIN_CONNECTIONS, limit - _open_files() - reserved))


def _limit() -> int | None:
    """Return the limit of open files; None if the system has none."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if limit == resource.RLIM_INFINITY else limit


def _open_files() -> int:
    with suppress(OSError):  # where there is no such folder
        return sum(1 for _ in Path("/dev/fd").iterdir())
    return 0
