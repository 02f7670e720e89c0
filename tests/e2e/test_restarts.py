"""Nothing is lost while instances restart, workers are replaced and versions are swapped.

The variable RESTARTS says how often; by default once each.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from service.settings import SHIPPED
from tests.e2e.servers import Server, free_port, running
from tests.e2e.steady_load import SteadyLoad
from tests.e2e.test_proxies import Proxy, proxying
from tests.waiting import until_async

RESTARTS = int(os.environ.get("RESTARTS", "1"))
NGINX = """
pid nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream fanlight {{
        SERVERS
        keepalive 32;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://fanlight;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""
HAPROXY = """
global
    maxconn 1024
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen fanlight
    bind 127.0.0.1:{port}
    option httpchk GET /health/ready
    SERVERS
"""


def proxy(kind: str, upstreams: int) -> Proxy:
    """One before so many servers, with the defaults of the program but for connections it keeps."""
    names = [f"upstream{number}" for number in range(upstreams)]
    if kind == "nginx":
        servers = "\n".join(f"server 127.0.0.1:{{{name}}};" for name in names)
        command = ("nginx", "-p", ".", "-c", "proxy.conf", "-e", "stderr")
        alone = ("-g", "daemon off; master_process off;")
        return Proxy((*command, *alone), NGINX.replace("SERVERS", servers))
    servers = "\n    ".join(f"server {name} 127.0.0.1:{{{name}}} check" for name in names)
    return Proxy(("haproxy", "-db", "-f", "proxy.conf"), HAPROXY.replace("SERVERS", servers))


@pytest.fixture(params=["nginx", "haproxy"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if not shutil.which(name):
        pytest.skip(f"{name} is not on PATH")
    return name


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One model, so that a start is short."""
    shutil.copytree(SHIPPED / "mnist", tmp_path / "repository" / "mnist")
    return tmp_path / "repository"


class Instance:
    """A server that keeps its port when it is started again."""

    def __init__(self, log: Path, repository: Path, *arguments: str) -> None:
        self.port = free_port()
        self._log = log
        self._arguments = ("--repository", str(repository), "--log-level", "warning", *arguments)
        self._stack = ExitStack()

    def start(self) -> Server:
        context = running(self._log, *self._arguments, port=self.port)
        self.server = self._stack.enter_context(context)
        return self.server

    def stop(self) -> int:
        status = self.server.stop()
        self._stack.close()
        return status


@pytest.fixture
def instances(tmp_path: Path, repository: Path) -> Iterator[list[Instance]]:
    both = [Instance(tmp_path / f"log{number}", repository) for number in range(2)]
    for each in both:
        each.start()
    yield both
    for each in both:
        each.stop()


def report(what: str, load: SteadyLoad) -> None:
    """Figures for `pytest -s`."""
    ordered = sorted(load.latencies) or [0.0]
    p50, p99 = (1000 * ordered[int(len(ordered) * part)] for part in (0.5, 0.99))
    outcomes = dict(load.outcomes)
    print(  # noqa: T201
        f"\n{what}: {load.rate:.0f} a second, {outcomes}, p50 {p50:.1f} ms, p99 {p99:.0f} ms"
    )


@pytest.mark.anyio
@pytest.mark.timeout(300 + 90 * RESTARTS)
async def test_two_instances_restart_in_turn(
    instances: list[Instance], kind: str, tmp_path: Path
) -> None:
    upstreams = {f"upstream{number}": each.port for number, each in enumerate(instances)}
    with proxying(proxy(kind, 2), tmp_path, **upstreams) as port:
        async with SteadyLoad(port) as load:
            for _ in range(RESTARTS):
                for each in instances:
                    assert await asyncio.to_thread(each.stop) == 0
                    await asyncio.to_thread(each.start)
        report(kind, load)
    assert not load.lost


@pytest.mark.anyio
@pytest.mark.timeout(300 + 120 * RESTARTS)
async def test_workers_are_replaced_one_after_the_other(
    repository: Path, kind: str, tmp_path: Path
) -> None:
    flags = ("--repository", str(repository), "--workers", "2", "--log-format", "json")
    with running(tmp_path / "log", *flags) as server:

        def ended(workers: int) -> bool:
            return server.log.read_text().count('"worker ended"') == workers

        with proxying(proxy(kind, 1), tmp_path, upstream0=server.port) as port:
            async with SteadyLoad(port) as load:
                for number in range(RESTARTS):
                    server.process.send_signal(signal.SIGHUP)
                    await until_async(partial(ended, 2 * number + 2), 120)
            report(f"SIGHUP behind {kind}", load)
        assert server.stop() == 0
    assert not load.lost


@pytest.mark.anyio
async def test_versions_are_swapped(repository: Path, tmp_path: Path) -> None:
    """Each swap publishes a copy by one rename, and takes the version before away."""
    flags = ("--repository", str(repository), "--watch-interval", "0.2", "--log-format", "json")
    with running(tmp_path / "log", *flags) as server:

        def loaded(number: int) -> bool:
            return f'"version":{number},"device"' in server.log.read_text()

        async with SteadyLoad(server.port) as load:
            for number in range(2, 2 + 5 * RESTARTS):
                folder, new = repository / "mnist", tmp_path / "new"
                shutil.copytree(folder / str(number - 1), new)
                card = new / "card.json"
                card.write_text(
                    card.read_text().replace(f'"version": {number - 1}', f'"version": {number}')
                )
                new.rename(folder / str(number))
                await until_async(partial(loaded, number), 60)
                shutil.rmtree(folder / str(number - 1))
        report("swaps", load)
    assert not load.lost
