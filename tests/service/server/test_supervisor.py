"""Workers are started, watched, replaced and ended: `supervised` as a program, from outside."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.servers import free_port
from tests.waiting import until

pytestmark = pytest.mark.slow
PATIENCE = 30


class Service:
    """The program, and what it tells."""

    def __init__(self, folder: Path, workers: int, mode: str = "answer") -> None:
        self.folder, self.port, self._log = folder, free_port(), folder / "log"
        self.set_mode(mode)
        command = [sys.executable, "-m", "tests.service.server.supervised"]
        arguments = [str(self.port), str(workers), str(folder)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *arguments], stderr=log, start_new_session=True
            )

    def set_mode(self, mode: str) -> None:
        (self.folder / "mode").write_text(mode)

    def all_events(self) -> list[dict[str, Any]]:
        """Of the lines that are whole: the last may be half written."""
        lines = self.text.rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.all_events() if event["event"] == name]

    def until(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for so many events."""
        until(lambda: len(self.events(name)) >= count or self.process.poll() is not None, PATIENCE)
        found = self.events(name)
        assert len(found) >= count, self.text
        return found

    @property
    def text(self) -> str:
        return self._log.read_text()

    def get(self, path: str = "/pid", timeout: float = PATIENCE) -> int:
        """The process id of the worker that answers."""
        with closing(self.asking(path, timeout)) as connection:
            return int(connection.getresponse().read())

    def asking(self, path: str, timeout: float = PATIENCE) -> http.client.HTTPConnection:
        """A connection on which the request was sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        connection.request("GET", path)
        return connection

    def signal(self, sig: int) -> int:
        """The exit status after it."""
        self.process.send_signal(sig)
        return self.process.wait(PATIENCE)

    def ended(self) -> list[int]:
        return [int(line) for line in (self.folder / "ended").read_text().split()]


@contextmanager
def supervised(folder: Path, workers: int = 2, mode: str = "answer") -> Iterator[Service]:
    service = Service(folder, workers, mode)
    try:
        yield service
    finally:
        with suppress(ProcessLookupError):
            os.killpg(service.process.pid, signal.SIGKILL)
        service.process.wait()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with supervised(tmp_path) as service:
        service.until("worker ready", 2)
        yield service


def test_all_end_with_status_0(service: Service) -> None:
    workers = {event["pid"] for event in service.events("worker ready")}
    assert service.get() in workers
    assert service.signal(signal.SIGTERM) == 0
    assert {*service.ended()} == workers
    assert "Traceback" not in service.text


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_ends_the_service_as_usual(service: Service, sig: int) -> None:
    """As of a terminal, or of systemd."""
    os.killpg(service.process.pid, sig)
    assert service.process.wait(PATIENCE) == 0
    assert {event["how"] for event in service.events("worker ended")} == {"ended with status 0"}


def test_it_goes_on_accepting_until_the_grace_period_is_over(service: Service) -> None:
    service.process.send_signal(signal.SIGTERM)
    service.until("draining")
    answers = 0
    with suppress(ConnectionRefusedError):
        while True:
            service.get()
            answers += 1
    assert answers
    assert service.process.wait(PATIENCE) == 0


def test_what_was_accepted_is_answered(service: Service) -> None:
    with closing(service.asking("/slow")) as connection:
        until((service.folder / "asked").exists)
        service.process.send_signal(signal.SIGTERM)
        until(lambda: refuses(service.port), PATIENCE)
        (service.folder / "go").touch()
        assert connection.getresponse().status == 200
    assert service.process.wait(PATIENCE) == 0


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False


def test_the_second_signal_ends_it_at_once(service: Service) -> None:
    with closing(service.asking("/slow")) as connection:
        until((service.folder / "asked").exists)
        service.process.send_signal(signal.SIGTERM)
        service.until("draining")
        assert service.signal(signal.SIGTERM) == 128 + signal.SIGTERM
        with pytest.raises(ConnectionError):
            connection.getresponse()
    assert not alive(service)


def alive(service: Service) -> list[int]:
    """The workers that are still there."""
    pids = [event["pid"] for event in service.events("worker starts")]
    return [pid for pid in pids if Path("/proc", str(pid), "cmdline").exists()]


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda service, pid: os.kill(pid, signal.SIGKILL), "killed by SIGKILL"),
        (lambda service, pid: os.kill(pid, signal.SIGSEGV), "killed by SIGSEGV"),
        (lambda service, pid: os.kill(pid, signal.SIGSTOP), "no sign of life"),
        (lambda service, pid: hang(service), "no sign of life"),
    ],
    ids=["killed", "crashed", "stopped", "hung"],
)
def test_a_worker_that_is_lost_is_replaced(
    service: Service, harm: Callable[[Service, int], None], why: str
) -> None:
    pid = service.get()
    until(lambda: seconds_since(service, "worker ready") > 1)
    harm(service, pid)
    [died] = service.until("worker died")
    assert died["how"].startswith(why)
    service.until("worker ready", 3)
    assert service.ended() == [died["pid"]]
    assert service.get() != died["pid"]
    assert service.signal(signal.SIGTERM) == 0


def seconds_since(service: Service, name: str) -> float:
    """Since the last of these events; a worker that ends sooner than 1 s has not started."""
    said = datetime.fromisoformat(service.events(name)[-1]["timestamp"])
    return (datetime.now(UTC) - said).total_seconds()


def hang(service: Service) -> None:
    with suppress(TimeoutError):
        service.get("/hang", timeout=0.1)


def test_the_others_answer_while_one_hangs(service: Service) -> None:
    stopped = service.get()
    os.kill(stopped, signal.SIGSTOP)
    answered = set()
    while not service.events("worker died"):
        with suppress(TimeoutError, ConnectionError):  # of what the stopped one had accepted
            answered.add(service.get(timeout=1))
    assert answered
    assert stopped not in answered


@pytest.mark.parametrize(
    ("mode", "reason"),
    [("raise", "no luck"), ("die", "killed by SIGKILL, as the system does when memory runs out")],
)
def test_it_ends_with_the_reason_where_no_worker_can_start(
    tmp_path: Path, mode: str, reason: str
) -> None:
    with supervised(tmp_path, mode=mode) as service:
        assert service.process.wait(PATIENCE) == 1
        starts = service.events("worker starts")
        delays = [event["next_in_s"] for event in service.events("worker did not start")]
        assert len(starts) == len(delays) == 3
        assert delays == [0.5, 1, 2]
        assert f"WorkersError: no worker could start; the last one: {reason}" in service.text
        assert refuses(service.port)


def test_what_can_not_be_replaced_is_tried_less_and_less_often(service: Service) -> None:
    service.set_mode("raise")
    os.kill(service.get(), signal.SIGKILL)
    failed = service.until("worker did not start", 2)
    assert [event["next_in_s"] for event in failed][-2:] in ([0.5, 1], [1, 2])
    answering = service.get()  # the other
    service.set_mode("answer")
    service.until("worker ready", 3)
    assert service.get() in {answering, service.events("worker ready")[-1]["pid"]}


def test_sighup_replaces_all_one_after_the_other(service: Service) -> None:
    before = {event["pid"] for event in service.events("worker ready")}
    service.process.send_signal(signal.SIGHUP)
    while len(service.events("worker ended")) < 2:
        service.get()  # nobody is refused
    assert {*service.ended()} == before
    events = [event["event"] for event in service.all_events()]
    steps = [event for event in events if event.startswith("worker ")]
    assert steps[-6:] == 2 * ["worker starts", "worker ready", "worker ended"]
    assert service.signal(signal.SIGTERM) == 0


def test_a_worker_that_is_told_to_end_is_replaced_first(service: Service) -> None:
    told = service.get()
    os.kill(told, signal.SIGTERM)
    service.until("worker ended")
    assert service.ended() == [told]
    assert len(service.events("worker ready")) == 3


def test_workers_are_kept_that_can_not_be_replaced(service: Service) -> None:
    service.set_mode("raise")
    service.process.send_signal(signal.SIGHUP)
    [event] = service.until("worker not replaced")
    assert event["how"] == "no luck"
    assert event["kept"] in {each["pid"] for each in service.events("worker ready")}
    assert service.get() in {each["pid"] for each in service.events("worker ready")}
    assert not service.events("worker ended")


def test_workers_end_without_their_supervisor(service: Service) -> None:
    service.process.kill()
    service.process.wait()
    until(lambda: not alive(service), PATIENCE)
    assert refuses(service.port)


def test_it_ends_while_workers_start(tmp_path: Path) -> None:
    with supervised(tmp_path) as service:
        service.until("worker starts", 2)
        assert service.signal(signal.SIGTERM) == 0
        assert "Traceback" not in service.text
