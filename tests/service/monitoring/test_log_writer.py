"""Whoever logs never waits and never fails; what is lost is counted and told."""

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.monitoring.log_writer import LOST, MAX_QUEUED_BYTES, LineStream, LogWriter
from tests.waiting import until

LINE = b"x" * 99 + b"\n"


def told(lines: int) -> bytes:
    return b"%d lost\n" % lines


class Pipe:
    """A pipe, and a writer to it."""

    def __init__(self) -> None:
        self.end, into = os.pipe()
        self.writer = LogWriter(into, told)
        os.close(into)

    def read(self, until_seen: bytes) -> bytes:
        """What is written, until this is among it."""
        content = b""
        while until_seen not in content:
            assert select.select([self.end], [], [], 30)[0], "nothing more is written"
            content += os.read(self.end, 1 << 20)
        return content


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    threading.Thread(target=_drain, args=(pipe.end,), daemon=True).start()
    pipe.writer.close()


def _drain(end: int) -> None:
    while os.read(end, 1 << 20):
        pass


def test_lines_are_written_in_order(pipe: Pipe) -> None:
    for number in range(1000):
        pipe.writer.write(b"%d\n" % number)
    pipe.writer.write(b"end\n")
    assert pipe.read(b"end\n").split() == [*(b"%d" % number for number in range(1000)), b"end"]


def test_a_pipe_that_nobody_reads_costs_lines_and_no_time(pipe: Pipe) -> None:
    before, lines = LOST.total, 2 * MAX_QUEUED_BYTES // len(LINE)
    for _ in range(lines):
        pipe.writer.write(LINE)  # it would wait here for ever
    lost = LOST.total - before
    assert lines // 4 < lost < lines
    content = pipe.read(b" lost\n")
    pipe.writer.write(b"end\n")
    content += pipe.read(b"end\n")
    *whole, last = content.splitlines(keepends=True)
    assert last == b"end\n"
    assert sum(int(line.split()[0]) for line in whole if line.endswith(b" lost\n")) == lost
    assert whole.count(LINE) == lines - lost


@pytest.mark.filterwarnings("ignore:.*fork")
def test_lines_of_two_writers_are_not_mixed() -> None:
    """Lines that are longer than what a pipe takes in one piece, from two processes."""
    end, into = os.pipe()
    child = os.fork()
    name = b"c" if child == 0 else b"p"
    writer = LogWriter(into, told)
    for _ in range(20):
        writer.write(name * 200_000 + b"\n")
    if child == 0:
        writer.flush(30)
        os.kill(os.getpid(), signal.SIGKILL)  # without what pytest does at its end
    content = b""
    while content.count(b"\n") < 40:
        content += os.read(end, 1 << 20)
    os.waitpid(child, 0)
    writer.close()
    os.close(into)  # not before: it would end the lock on the pipe
    assert sorted(content.splitlines()) == [b"c" * 200_000] * 20 + [b"p" * 200_000] * 20


@pytest.mark.parametrize("how", ["full", "none", "no reader"])
def test_a_stderr_that_fails_loses_lines_only(how: str) -> None:
    reader, into = os.pipe()
    target: int | None = into
    if how == "full":
        target = os.open("/dev/full", os.O_WRONLY)
    elif how == "no reader":
        os.close(reader)
    elif how == "none":
        target = None
    before = LOST.total
    writer = LogWriter(target, told)
    for _ in range(10):
        writer.write(LINE)
    writer.close()
    writer.write(LINE)  # after the end, by whoever logs
    assert LOST.total - before == 11


def test_a_line_that_was_cut_does_not_spoil_the_next(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that is full in the middle of a line, and has room again later."""
    write = os.write
    answers: list[Callable[[int, bytes], int]] = [
        lambda descriptor, content: write(descriptor, bytes(content)[:3]),
        lambda descriptor, content: _full(),
    ]

    def failing(descriptor: int, content: bytes) -> int:
        return answers.pop(0)(descriptor, content) if answers else write(descriptor, content)

    monkeypatch.setattr(os, "write", failing)
    pipe.writer.write(b"first\n")
    until(lambda: not answers)
    pipe.writer.write(b"second\n")
    assert pipe.read(b"lost\n") == b"fir\nsecond\n1 lost\n"


def _full() -> int:
    raise OSError(28, "No space left on device")


def test_a_pipe_that_is_not_blocking_is_waited_for() -> None:
    """Another process, which shares it, may have made it so."""
    end, into = os.pipe()
    os.set_blocking(into, False)
    writer = LogWriter(into, told)
    for _ in range(2000):
        writer.write(LINE)
    writer.write(b"end\n")
    content = b""
    while not content.endswith(b"end\n"):
        content += os.read(end, 1000)
    writer.close()
    assert content == LINE * 2000 + b"end\n"


def test_the_end_writes_what_is_queued(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        writer = LogWriter(file.fileno(), told)
        for _ in range(500):
            writer.write(LINE)
        writer.close()
        writer.write(b"later\n")
    assert (tmp_path / "log").read_bytes() == LINE * 500 + b"later\n"


@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_process_that_was_forked_writes_too(pipe: Pipe) -> None:
    if not os.fork():
        pipe.writer.restart()
        pipe.writer.write(b"from the child\n")
        pipe.writer.flush(30)
        os.kill(os.getpid(), signal.SIGKILL)  # without what pytest does at its end
    pipe.writer.write(b"from the parent\n")
    content = pipe.read(b"child\n")
    content += b"" if b"parent\n" in content else pipe.read(b"parent\n")
    assert sorted(content.splitlines()) == [b"from the child", b"from the parent"]
    os.wait()


def test_a_stream_writes_whole_lines(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        writer = LogWriter(file.fileno(), told)
        stream = LineStream(writer, file)
        print("half", end="", file=stream)
        other = threading.Thread(target=print, args=("of another thread",), kwargs={"file": stream})
        other.start()
        other.join()
        print(" and half", "\udcff", file=stream)
        writer.close()
    assert (tmp_path / "log").read_text() == "of another thread\nhalf and half \\udcff\n"
