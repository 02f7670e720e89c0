"""Settings → a running server: one process, or several that watch the same repository."""

import errno
import os
import socket

import uvicorn
from starlette.types import ASGIApp

from service import environment, logs, metrics
from service.process import garbage
from service.settings import Settings


def refusal(settings: Settings) -> str | None:
    """Why the service can't start with these settings; None if it can."""
    if not settings.repository.is_dir():
        return (
            f"there is no folder {settings.repository} (setting repository); train into one with\n"
            f"  fanlight fit mnist --repository {settings.repository}"
        )
    if reason := _device_problem(settings.device):
        return f"{reason} (setting device)"
    if reason := _bind_problem(settings.host, settings.port):
        return f"{reason} (settings host and port)"
    return None


def serve(settings: Settings) -> None:
    """Runs until the server is stopped."""
    logs.configure(settings.log_level, settings.log_format)
    environment.report(Settings.model_fields)
    os.environ.update(settings.environment())  # for the workers, which are processes of their own
    if settings.workers == 1:
        garbage.pause()  # before uvicorn imports the HTTP protocol
        _run(settings)
    else:
        with metrics.shared():
            _run(settings)


def application() -> ASGIApp:
    """The application of this process, with the garbage collector paused while it is imported."""
    garbage.pause()
    from service.app import from_environment

    return from_environment()


def _device_problem(name: str) -> str | None:
    """Why the device can't be used, or None.

    What starts workers doesn't import torch itself, unless it has to ask for a device.
    """
    if name in ("auto", "cpu"):
        return None
    from models import devices

    try:
        devices.resolve(name)
    except devices.DeviceError as error:
        return str(error)
    return None


def _bind_problem(host: str, port: int) -> str | None:
    """Why the service can't listen on the address and port, or None."""
    if not host.strip():
        return "host is empty; 127.0.0.1 listens on this machine only, 0.0.0.0 on all addresses"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as tried:
            if os.name == "posix":  # elsewhere it would take what is in use
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        busy = "; choose another port, or 0 for any" if error.errno == errno.EADDRINUSE else ""
        return f"can't listen on {host}:{port}: {error.strerror or error}{busy}"
    except (TypeError, ValueError) as error:  # what is no host name for Python
        return f"{host!r} is no address: {error}"
    return None


def _run(settings: Settings) -> None:
    uvicorn.run(
        "service.launch:application",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_config=None,
        http="service.server.protocol:LimitedHttpProtocol",
        ws="none",
        proxy_headers=False,  # nothing here asks who the client is
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(2 * settings.request_timeout) + 5,
    )
