"""Settings → a running server: one process, or several that watch the same repository."""

import errno
import os
import socket
import ssl
import sys
from contextlib import suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from models.errors import FanlightError
from models.errors import message as error_message
from service import environment, logs, metrics
from service.access import api_keys, tls
from service.process import garbage
from service.settings import Settings

KEEP_ALIVE = 75  # seconds that an idle connection stays open: longer than clients and proxies keep
# one for their next request, which would otherwise meet a connection that is just being closed


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
    if settings.metrics_port and (reason := _bind_problem(settings.host, settings.metrics_port)):
        return f"{reason} (settings host and metrics_port)"
    return _file_problem(settings)


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


def tls_context(*_: object) -> ssl.SSLContext:
    """The context of this process' listener, before its application; it follows the files."""
    settings = Settings()
    logs.configure(settings.log_level, settings.log_format)
    assert settings.tls_certificate is not None  # noqa: S101 (only then uvicorn calls this)
    assert settings.tls_key is not None  # noqa: S101
    context, files = tls.following(settings.tls_certificate, settings.tls_key)
    files.start()
    return context


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


def _file_problem(settings: Settings) -> str | None:
    """Why a file of keys or certificates can't be used, or None."""
    try:
        if settings.api_key_file is not None:
            api_keys.read(settings.api_key_file)
    except (FanlightError, OSError) as error:
        return f"{error_message(error) or error} (setting api_key_file)"
    try:
        if settings.tls_certificate is not None and settings.tls_key is not None:
            tls.context(settings.tls_certificate, settings.tls_key)
    except (FanlightError, OSError) as error:
        return f"{error_message(error) or error} (settings tls_certificate and tls_key)"
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
    options: dict[str, Any] = {
        "factory": True,
        "host": settings.host,
        "port": settings.port,
        "workers": settings.workers,
        "log_config": None,
        "http": "service.server.protocol:LimitedHttpProtocol",
        "ws": "none",
        "proxy_headers": False,  # nothing here believes what a request says of its client
        "timeout_keep_alive": KEEP_ALIVE,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": int(2 * settings.request_timeout) + 5,
        "ssl_context_factory": tls_context if settings.tls_certificate else None,
    }
    if settings.metrics_port is None:
        uvicorn.run("service.launch:application", **options)
    else:
        _run_on_two_ports(settings.metrics_port, options)


def _run_on_two_ports(metrics_port: int, options: dict[str, Any]) -> None:
    """As `uvicorn.run`, which takes one port, and with the same limits on both."""
    config = uvicorn.Config("service.launch:application", **options)
    own = uvicorn.Config("service.launch:application", **{**options, "port": metrics_port})
    listeners = [config.bind_socket(), own.bind_socket()]
    if config.workers > 1:
        Multiprocess(config, sockets=listeners).run()
        return
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):
        server.run(sockets=listeners)
    if not server.started:
        sys.exit(STARTUP_FAILURE)
