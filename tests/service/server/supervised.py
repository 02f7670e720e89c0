"""A service of several processes without models, as a program: what the supervisor does is seen.

    python -m tests.service.server.supervised PORT WORKERS FOLDER

A worker reads the file `mode` of the folder when it starts: "answer", "raise" or "die". GET /pid
answers with its process id, GET /hang never lets its event loop go on, GET /slow answers once the
folder has a file `go`. Ended workers are written to the file `ended`.
"""

import multiprocessing
import os
import signal
import socket
import sys
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.monitoring import logs
from service.server import listening, worker
from service.server.supervisor import Supervisor, Times
from tests.waiting import until_async

GRACE, ANSWERS, SILENCE = 0.5, 10, 2


class Protocol(HttpToolsProtocol):
    """Ours needs seconds to be imported."""

    def drain(self) -> None:
        cycle: Any = self.cycle  # None at first
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False


async def app(folder: Path, scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
        return
    if scope["path"] == "/slow":
        (folder / "asked").touch()
        await until_async((folder / "go").exists)
    while scope["path"] == "/hang":
        pass
    body = str(os.getpid()).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def work(folder: Path, listeners: list[socket.socket], channel: socket.socket) -> None:
    logs.configure("info", "json")
    mode = (folder / "mode").read_text()
    try:
        if mode == "raise":
            raise RuntimeError("no luck")
        if mode == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        config = uvicorn.Config(
            partial(app, folder), http=Protocol, log_config=None, interface="asgi3"
        )
        worker.WorkerServer(config, channel).run(listeners)
    except Exception as error:
        worker.tell(channel, worker.reason_of(error))
        raise


def main(port: str, workers: str, folder: Path) -> None:
    logs.configure("info", "json")
    listeners = listening.bind("127.0.0.1", int(port))

    def create(channel: socket.socket) -> BaseProcess:
        context = multiprocessing.get_context("spawn")
        return context.Process(target=work, args=(folder, listeners, channel))

    def ended(pid: int) -> None:
        with (folder / "ended").open("a") as file:
            file.write(f"{pid}\n")

    times = Times(GRACE, ANSWERS, SILENCE)
    Supervisor(create, int(workers), listeners, times, ended).run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
