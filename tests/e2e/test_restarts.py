"""Nothing is lost while instances restart, workers are replaced and versions are swapped.

The variable RESTARTS says how often; then the service and the proxies have their default settings.
By default it is once each, with shorter times for both. KILLS says how many workers are killed, one
every five seconds, or once both are ready again; by default 1.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from service.settings import SHIPPED, Settings
from tests.e2e.proxies import NGINX_PATHS, Proxy, proxying
from tests.e2e.servers import Server, free_port, running
from tests.e2e.steady_load import SteadyLoad
from tests.waiting import until_async

RESTARTS = int(os.environ.get("RESTARTS", "1"))
IS_LONG = "RESTARTS" in os.environ
_USUAL = Settings.model_fields["shutdown_grace"].default
GRACE = ("--shutdown-grace", str(_USUAL if IS_LONG else 2))
OF_SERVER = {"nginx": "", "haproxy": "check"}  # how a proxy finds out that one doesn't answer
if not IS_LONG:
    OF_SERVER = {"nginx": "fail_timeout=1s", "haproxy": "check inter 300"}
KILLS = int(os.environ.get("KILLS", "1"))
SECONDS_BETWEEN_KILLS = 5.0
NGINX = """
pid nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    PATHS
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
""".replace("PATHS", NGINX_PATHS)
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
    """One before so many servers."""
    names = [f"upstream{number}" for number in range(upstreams)]
    if kind == "nginx":
        servers = "\n".join(f"server 127.0.0.1:{{{name}}} {OF_SERVER[kind]};" for name in names)
        command = ("nginx", "-p", ".", "-c", "proxy.conf", "-e", "stderr")
        alone = ("-g", "daemon off; master_process off;")
        return Proxy((*command, *alone), NGINX.replace("SERVERS", servers))
    servers = "\n    ".join(f"server {n} 127.0.0.1:{{{n}}} {OF_SERVER[kind]}" for n in names)
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
        quiet = ("--log-level", "warning", *GRACE)
        self._arguments = ("--repository", str(repository), *quiet, *arguments)
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
        each.server.process.terminate()
    for each in both:  # a second signal, which ends it at once
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
@pytest.mark.thorough
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
@pytest.mark.thorough
@pytest.mark.timeout(300 + 120 * RESTARTS)
async def test_workers_are_replaced_one_after_the_other(
    repository: Path, kind: str, tmp_path: Path
) -> None:
    flags = ("--repository", str(repository), "--workers", "2", "--log-format", "json", *GRACE)
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


def is_over(deadline: float) -> bool:
    return time.monotonic() > deadline


def connections_of(pid: int, port: int) -> int:
    """How many connections to the port a process has accepted."""
    inodes = set()
    for file in Path("/proc", str(pid), "fd").iterdir():
        inodes.add(str(file.readlink()).removeprefix("socket:[").removesuffix("]"))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here, established = f":{port:04X}", "01"
    return sum(row[1].endswith(here) and row[3] == established and row[9] in inodes for row in rows)


@pytest.mark.anyio
@pytest.mark.skipif(sys.platform != "linux", reason="counts connections in /proc")
@pytest.mark.timeout(300 + 10 * KILLS)
@pytest.mark.thorough  # tests/faults/test_workers.py has it in short
async def test_a_killed_worker_loses_only_what_it_had_accepted(
    repository: Path, tmp_path: Path
) -> None:
    flags = ("--repository", str(repository), "--workers", "2", "--log-format", "json", *GRACE)
    with running(tmp_path / "log", *flags) as server:

        def ready() -> list[int]:
            whole = server.log.read_text().rpartition("\n")[0]
            lines = [line for line in whole.splitlines() if "worker" in line]
            events = [json.loads(line) for line in lines]
            gone = {e["pid"] for e in events if e["event"] in ("worker died", "worker ended")}
            return [
                e["pid"] for e in events if e["event"] == "worker ready" and e["pid"] not in gone
            ]

        def both_ready() -> bool:
            return len(ready()) == 2

        await until_async(both_ready, 120)
        held = 0
        async with SteadyLoad(server.port) as load:
            for _ in range(KILLS):
                await until_async(both_ready, 120)  # without any, requests wait in the backlog
                begun, pid = time.monotonic(), ready()[0]
                os.kill(pid, signal.SIGSTOP)  # so that it accepts no more until it is counted
                held += connections_of(pid, server.port)
                os.kill(pid, signal.SIGKILL)
                await until_async(partial(is_over, begun + SECONDS_BETWEEN_KILLS))
        report(f"{KILLS} kills, {held} connections held", load)
        assert server.stop() == 0
    assert set(load.lost) <= {"closed"}
    assert load.lost["closed"] <= held


@pytest.mark.anyio
@pytest.mark.thorough
async def test_versions_are_swapped(repository: Path, tmp_path: Path) -> None:
    """Each swap publishes a copy by one rename, and takes the version before away."""
    flags = ("--repository", str(repository), "--watch-interval", "0.2", "--log-format", "json")
    with running(tmp_path / "log", *flags) as server:

        def loaded(number: int) -> bool:
            return f'"version":{number},"device"' in server.log.read_text()

        async with SteadyLoad(server.port) as load:
            for number in range(2, 2 + 3 * RESTARTS):
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
