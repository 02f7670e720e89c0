"""Settings → a running server: one process, or several that watch the same repository."""

import multiprocessing
import os
import shlex
import socket
import ssl
import stat
import threading
from collections.abc import Sequence
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from starlette.types import ASGIApp

from models.errors import FanlightError
from models.errors import message as error_message
from models.remote.address import address_of
from service.access import api_keys, tls
from service.monitoring import logs, workers_figures
from service.process import garbage
from service.server import listening, worker
from service.server.draining import DrainingServer
from service.server.supervisor import Supervisor, Times
from service.setting_values import environment
from service.settings import Settings

log = logs.Log()
ANSWER_SECONDS = 2.0  # that a folder of models may take to say whether it is there


def refusal(settings: Settings) -> str | None:
    """Check the settings, and return why the service can't start with them; None if it can."""
    if reason := _repository_problem(settings.repository or ()):
        return reason
    if reason := _device_problem(settings.device):
        return f"{reason} (setting device)"
    for name, port in (("port", settings.port), ("metrics_port", settings.metrics_port)):
        try:
            if port is not None:
                listening.close(listening.bind(settings.host, port))
        except listening.ListenError as error:
            return f"{error} (settings host and {name})"
    return _file_problem(settings)


def serve(settings: Settings) -> None:
    """Run the server until a signal ends it. Accepted requests are answered before it ends.

    Raises `ListenError` if it can't listen, `WorkersError` if no worker process could start.
    """
    logs.configure(settings.log_level, settings.log_format)
    environment.report(Settings.model_fields)
    os.environ.update(settings.environment())  # for the workers, which are processes of their own
    listeners = _listeners(settings)
    try:
        if settings.workers == 1:
            garbage.pause()  # before uvicorn imports the HTTP protocol
            DrainingServer(_config(settings), settings.shutdown_grace).run(listeners)
        else:
            with workers_figures.shared():
                _supervisor(settings, listeners).run()
    finally:
        listening.close(listeners)


def application() -> ASGIApp:
    """Build the application; uvicorn calls this in each process.

    The garbage collector is off during the imports, which makes the start faster.
    """
    garbage.pause()
    from service.app import from_environment

    return from_environment()


def tls_context(*_: object) -> ssl.SSLContext:
    """Build the TLS context of the listening socket; uvicorn calls this before `application`.

    When the certificate files change, new connections use the new ones.
    """
    settings = Settings()
    logs.configure(settings.log_level, settings.log_format)
    assert settings.tls_certificate is not None  # noqa: S101 (only then uvicorn calls this)
    assert settings.tls_key is not None  # noqa: S101
    context, files = tls.following(settings.tls_certificate, settings.tls_key)
    files.start()
    return context


def _repository_problem(named: Sequence[Path]) -> str | None:
    """Return why the service can't start with these repository folders, or None.

    It can't if one of the folders is a file, or if all of them are missing. If only some are
    missing, the service starts, warns in its log, and serves them once they exist: their disk may
    be mounted later. A repository elsewhere may be out of reach for now, too.
    """
    kinds = {path: _kind(path) for path in named if address_of(path) is None}
    for path, kind in kinds.items():
        if kind == "file":
            return f"{path} is a file (setting repository); name the folder that holds the models"
    if len(kinds) < len(named) or any(kind != "missing" for kind in kinds.values()):
        return None
    if not named:
        return None
    if len(named) == 1:
        return (
            f"there is no folder {named[0]} (setting repository); train into one with\n"
            f"  fanlight fit mnist --repository {shlex.quote(str(named[0]))}"
        )
    return (
        f"there is none of the folders {', '.join(map(str, named))} (setting repository); "
        "make one of them, or name one that is there"
    )


def _kind(path: Path) -> Literal["folder", "file", "missing", "silent"]:
    """Return what is at the path; `silent` if its disk does not answer within `ANSWER_SECONDS`."""
    found: list[Literal["folder", "file", "missing"]] = []

    def look() -> None:
        try:
            found.append("folder" if stat.S_ISDIR(path.stat().st_mode) else "file")
        except (FileNotFoundError, NotADirectoryError):
            found.append("missing")
        except OSError:  # no permission, or a disk in trouble: the log will tell
            found.append("folder")

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(ANSWER_SECONDS)
    return found[0] if found else "silent"


def _device_problem(name: str) -> str | None:
    """Return why the device can't be used, or None.

    The process that starts workers doesn't import torch itself, unless it has to check a device.
    """
    if name in ("auto", "cpu"):
        return None
    from models import devices

    try:
        devices.resolve(name)
    except devices.DeviceError as error:
        return str(error)
    return None


def _listeners(settings: Settings) -> list[socket.socket]:
    """Bind the sockets of the service, and of its metrics if they have a port of their own."""
    found = listening.bind(settings.host, settings.port)
    if settings.metrics_port is not None:
        try:
            found += listening.bind(settings.host, settings.metrics_port)
        except listening.ListenError:
            listening.close(found)
            raise
    return found


def _supervisor(settings: Settings, listeners: list[socket.socket]) -> Supervisor:
    urls = listening.urls(listeners, _scheme(settings))
    log.info("workers will listen", urls=urls, workers=settings.workers)
    times = Times(
        grace=settings.shutdown_grace,
        answers=_answering(settings) + 5,
        silence=settings.worker_timeout,
    )
    create = partial(_process, listeners)
    return Supervisor(create, settings.workers, listeners, times, ended=mark_process_dead)


def _process(listeners: list[socket.socket], channel: socket.socket) -> BaseProcess:
    """Create a worker process. It is spawned, not forked: torch and its threads don't survive a
    fork."""
    context = multiprocessing.get_context("spawn")
    return context.Process(target=_work, args=(channel, listeners))


def _scheme(settings: Settings) -> str:
    return "https" if settings.tls_certificate else "http"


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


def _work(channel: socket.socket, listeners: list[socket.socket]) -> None:
    """Run a worker process with the settings in the environment; report an error on `channel`."""
    try:
        settings = Settings()
        logs.configure(settings.log_level, settings.log_format)
        worker.WorkerServer(_config(settings), channel).run(listeners)
    except BaseException as error:
        worker.tell(channel, worker.reason_of(error))
        raise


def _answering(settings: Settings) -> int:
    """Seconds that an accepted request may take: to arrive, and to be answered."""
    return int(2 * settings.request_timeout) + 5


def _config(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        "service.launch:application",
        factory=True,
        lifespan="on",
        log_config=None,
        http="service.server.protocol:LimitedHttpProtocol",
        ws="none",
        proxy_headers=False,  # see service/access/forwarded.py
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_answering(settings),
        ssl_context_factory=tls_context if settings.tls_certificate else None,
    )
