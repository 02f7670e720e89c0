"""A Ray cluster: the one that RAY_ADDRESS names, or one of this machine → connected, then left."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from models.errors import FanlightError, InstallationError

VARIABLE = "RAY_ADDRESS"
_LISTEN_SECONDS = 10.0
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray tells nobody that it is used
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # what fails is told by us
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the default of Ray's next version, without a tip
}


class RayError(FanlightError):
    """No Ray cluster can be reached or started, or work on it failed."""


@contextmanager
def connected(*parts: str) -> Iterator[None]:
    """Connect to the cluster that RAY_ADDRESS names, or one of this machine; disconnect at the end.

    Without RAY_ADDRESS this is the cluster that runs on this machine; where there is none, one is
    started, without dashboard, and ended again. A connection that is there already stays. `parts`
    are modules of Ray that are needed, such as `ray.data`. Raises `InstallationError` without Ray,
    and `RayError` if the cluster can't be reached.
    """
    try:
        for part in ("ray", *parts):
            import_module(part)
        import ray
    except ImportError as error:
        raise InstallationError(
            "--ray needs the package ray, which is not installed; pip install 'fanlight[ray]'"
        ) from error
    for part in ("ray", *parts):  # the console has our own progress
        logging.getLogger(part).setLevel(logging.ERROR)
    was_connected = ray.is_initialized()
    if not was_connected:
        _connect()
    try:
        yield
    finally:
        if not was_connected and ray.is_initialized():
            ray.shutdown()


def _connect() -> None:
    import ray

    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    address = os.environ.get(VARIABLE, "")
    try:
        _check_listens(address)
        ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except Exception as error:  # Ray raises whatever, Exception itself too
        first = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(":.")
        at = f"{VARIABLE}={address} can't be reached" if address else "none can be started here"
        raise RayError(
            f"Ray cluster: {at}: {first}; {VARIABLE} is HOST:6379 or ray://HOST:10001 of a cluster "
            "that runs, or not set, for one of this machine"
        ) from error


def _check_listens(address: str) -> None:
    """Raise `OSError` at once if nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), _LISTEN_SECONDS).close()
