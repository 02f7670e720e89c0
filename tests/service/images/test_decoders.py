"""Processes that decode: limits, crashes, replacement, and what is left of them afterwards."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.errors import InvalidInputError, ServiceError, UnavailableError
from service.images.decoder_process import PIXELS, Job
from service.images.decoders import TOO_LONG, EndedError, Lane, Template
from service.images.decoding import Decoder
from service.images.encoded import EncodedImage
from service.settings import Settings
from tests.networks import SPEC, encode, picture
from tests.service.images.costly import CASES
from tests.waiting import until, until_async

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
USUAL = EncodedImage(encode(picture(1, (40, 30)), "BMP"), "", "")
JOB = Job(0, ("BMP",), 10_000, (3, 8, 8, "crop"), 0.24, 2**26)


@pytest.fixture
async def decoder() -> AsyncIterator[Decoder]:
    """With time enough that no image fails on a slow machine."""
    decoder = Decoder(Settings(max_decode_time=10), processes=1)
    yield decoder
    decoder.close()


@pytest.fixture
async def template() -> AsyncIterator[Template]:
    template = Template()
    yield template
    template.close()


def running(pid: int) -> bool:
    """True while the process is there and not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def test_a_job_of_a_process(template: Template) -> None:
    process = await template.copy(0)
    kind, content = await process.run(JOB, USUAL.encoded)
    assert kind == PIXELS
    assert len(content) == 3 * 8 * 8
    assert process.is_alive
    process.end()
    await until_async(lambda: not running(process.pid))


async def test_a_job_that_takes_too_long_ends_its_process(template: Template) -> None:
    process = await template.copy(0)
    job = JOB._replace(formats=("PNG",), max_pixels=25_000_000, seconds=0.02, memory=2**30)
    with pytest.raises(EndedError) as caught:
        await process.run(job, CASES["png_of_sixteen_bits_grey"]())
    assert caught.value.code == TOO_LONG
    assert not caught.value.late
    assert not running(process.pid)
    process.end()


@pytest.mark.parametrize("killer", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_process_that_dies_is_one_requests_error(killer: int, decoder: Decoder) -> None:
    """And the next request has another process."""
    before = await decoder.pixels([USUAL], SPEC)
    [pid] = _children()
    os.kill(pid, signal.SIGSTOP)
    waiting = asyncio.create_task(decoder.pixels([USUAL], SPEC))
    await until_async(lambda: decoder.waiting == 1)
    os.kill(pid, killer)
    if killer != signal.SIGKILL:  # others wait until it goes on
        os.kill(pid, signal.SIGCONT)
    expected = UnavailableError if killer == signal.SIGKILL else InvalidInputError
    with pytest.raises(ServiceError) as caught:
        await waiting
    assert type(caught.value) is expected
    after = await decoder.pixels([USUAL], SPEC)
    assert (before[0] == after[0]).all()
    assert _children() != [pid]


def _children() -> list[int]:
    """The decoders, which are children of the template."""
    return [
        int(child)
        for process in _own_children()
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


def _own_children() -> list[str]:
    return [
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
        if b"decoder_process" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


async def test_an_idle_process_that_died_is_replaced_before_a_job(template: Template) -> None:
    lane = Lane(template, 1, 0, 10.0, 0.1)
    await lane.run(JOB, USUAL.encoded)
    [pid] = _children()
    os.kill(pid, signal.SIGKILL)
    await until_async(lambda: template.has_ended(pid))
    kind, _ = await lane.run(JOB, USUAL.encoded)
    assert kind == PIXELS
    lane.close()


async def test_a_template_that_died_is_replaced(decoder: Decoder) -> None:
    await decoder.pixels([USUAL], SPEC)
    [template] = _own_children()
    os.kill(int(template), signal.SIGKILL)
    await until_async(lambda: not running(int(template)))

    async def again() -> bool:
        try:
            await decoder.pixels([USUAL], SPEC)
        except UnavailableError:
            return False
        return True

    for _ in range(3):  # the first may still meet the old one
        if await again():
            break
    assert await again()
    assert _own_children() != [template]


async def test_a_request_that_is_cancelled_ends_its_process(decoder: Decoder) -> None:
    await decoder.pixels([USUAL], SPEC)
    [pid] = _children()
    os.kill(pid, signal.SIGSTOP)
    waiting = asyncio.create_task(decoder.pixels([USUAL], SPEC))
    await until_async(lambda: decoder.waiting == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until_async(lambda: not running(pid))
    assert decoder.waiting == 0
    await decoder.pixels([USUAL], SPEC)


async def test_a_process_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.images.decoders.MIN_JOB_SECONDS", 0.1)
    decoder = Decoder(Settings(max_decode_time=0.02), processes=1)
    await decoder.pixels([USUAL], SPEC)
    [pid] = _children()
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(UnavailableError, match="busy"):
        await decoder.pixels([USUAL], SPEC)
    assert not running(pid)
    decoder.close()


async def test_costly_images_wait_only_for_each_other(decoder: Decoder) -> None:
    """While the process for costly ones hangs, usual ones are decoded."""
    heavy = EncodedImage(CASES["bmp_of_one_bit"](), "", "")
    await decoder.pixels([USUAL], SPEC)
    light = _children()
    await decoder.pixels([heavy], SPEC)
    [other] = set(_children()) - set(light)
    os.kill(other, signal.SIGSTOP)
    costly = [asyncio.create_task(decoder.pixels([heavy], SPEC)) for _ in range(3)]
    await until_async(lambda: decoder.waiting == 3)
    await decoder.pixels([USUAL], SPEC)
    os.kill(other, signal.SIGCONT)
    await asyncio.gather(*costly)


async def test_memory_is_limited(template: Template) -> None:
    process = await template.copy(0)
    job = JOB._replace(formats=("PNG",), max_pixels=25_000_000, seconds=5.0, memory=30 * 2**20)
    kind, _ = await process.run(job, CASES["png_of_one_bit"]())
    assert kind != PIXELS
    kind, _ = await process.run(JOB, USUAL.encoded)  # the same process goes on
    assert kind == PIXELS
    process.end()


async def test_processes_are_replaced_after_many_jobs(
    template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.images.decoders.MAX_JOBS", 2)
    lane = Lane(template, 1, 0, 10.0, 0.1)
    pids = set()
    for _ in range(4):
        await lane.run(JOB, USUAL.encoded)
        pids |= set(_children())
    assert len(pids) >= 2
    lane.close()


async def test_nothing_is_left_after_closing(decoder: Decoder) -> None:
    await decoder.pixels([USUAL], SPEC)
    [template], children = _own_children(), _children()
    decoder.close()
    assert not running(int(template))
    await until_async(lambda: not any(map(running, children)))


PROGRAM = """
import asyncio, sys, threading
from pathlib import Path
from service.images.decoding import Decoder
from service.images.encoded import EncodedImage
from service.settings import Settings
from tests.networks import SPEC, encode, picture

async def main():
    decoder = Decoder(Settings(), 2)
    image = EncodedImage(encode(picture(1, (40, 30)), "BMP"), "", "")
    await decoder.pixels([image] * 4, SPEC)
    own = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    pids = own + [c for p in own for c in Path(f"/proc/{p}/task/{p}/children").read_text().split()]
    maps = Path(f"/proc/{pids[-1]}/maps").read_text()
    environment = Path(f"/proc/{pids[-1]}/environ").read_text()
    print("torch" in maps, "SECRET" in environment, *pids, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_nothing_is_left_after_the_service_was_killed() -> None:
    """Nor do its decoders have torch or the settings."""
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    environment = {**os.environ, "FANLIGHT_API_KEY": "SECRET"}
    service = subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment)
    assert service.stdout is not None
    torch, secret, *pids = service.stdout.readline().split()
    assert (torch, secret) == ("False", "False")
    assert len(pids) >= 2
    service.kill()
    service.wait()
    service.stdout.close()
    until(lambda: not any(running(int(pid)) for pid in pids))
