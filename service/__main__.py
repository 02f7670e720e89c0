"""`python -m service`: settings from flags and environment → a running server."""

import gc

if __name__ != "service.__main__":  # this is the program, or a worker of it
    # what is imported stays, and walking over it again and again is a tenth of the start
    gc.disable()

import os
import socket
import sys

import uvicorn
from pydantic import ValidationError
from pydantic_settings import CliApp, SettingsError

from service import logs, metrics
from service.settings import Settings

KEEP_ALIVE = 75  # seconds that an idle connection stays open: longer than clients and proxies keep
# one for their next request, which would otherwise meet a connection that is just being closed


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 when the server was stopped, 2 if it could not be started as told."""
    try:
        settings = CliApp.run(Settings, cli_args=arguments)
    except (ValidationError, SettingsError) as error:
        return _refuse(_told(error))
    if not settings.repository.is_dir():
        return _refuse(
            f"there is no folder {settings.repository} (setting repository); train into one with\n"
            f"  python -m training fit mnist --repository {settings.repository}"
        )
    if reason := _no_device(settings.device):
        return _refuse(f"{reason} (setting device)")
    if reason := _no_place(settings.host, settings.port):
        return _refuse(f"{reason} (settings host and port)")
    logs.configure(settings.log_level, settings.log_format)
    os.environ.update(settings.environment())  # for the workers, which are processes of their own
    if settings.workers == 1:
        _run(settings)
    else:
        gc.enable()  # nothing more is imported here
        with metrics.shared():
            _run(settings)
    return 0


def _no_device(name: str) -> str | None:
    """Why networks can't run there, if they can't.

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


def _no_place(host: str, port: int) -> str | None:
    """Why nothing can listen there, if it can't."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as tried:
            if os.name == "posix":  # elsewhere it would take what is in use
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        return f"can't listen at {host}:{port}: {error.strerror or error}"
    return None


def _run(settings: Settings) -> None:
    uvicorn.run(
        "service.app:from_environment",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_config=None,
        http="service.protocol:BoundedProtocol",
        ws="none",
        proxy_headers=False,  # nothing here asks who the client is
        timeout_keep_alive=KEEP_ALIVE,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(2 * settings.request_timeout) + 5,
    )


def _told(error: ValidationError | SettingsError) -> str:
    if isinstance(error, SettingsError):
        return str(error)
    return "\n".join(
        f"{'.'.join(map(str, each['loc'])) or 'settings'}: {each['msg']}"
        + (f", not {each['input']!r}" if each["loc"] and each["loc"][0] != "api_key" else "")
        for each in error.errors()
    )


def _refuse(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main())
