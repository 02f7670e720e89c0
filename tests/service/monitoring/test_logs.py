"""The log has one form, whoever writes to it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog

from service.monitoring import logs
from tests.networks import encode, picture, publish_tiny
from tests.service.conftest import Serve
from tests.service.connections import PREDICT
from tests.service.test_predict import parts
from tests.service.test_unavailable import batcher_of
from tests.waiting import until

PROGRAM = """
import logging, structlog, warnings
from service.monitoring import logs
logs.configure("info", "json")
logging.getLogger("uvicorn.error").info("from a library")
structlog.get_logger().info("own")
structlog.get_logger().debug("hidden")
structlog.get_logger().info("odd", name="\\udcff")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger().exception("failed")
warnings.warn("a warning")
"""


def test_logs_of_libraries_take_the_same_form() -> None:
    command = [sys.executable, "-c", PROGRAM]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert events[:4] == ["from a library", "own", "odd", "failed"]
    assert "a warning" in events[4]
    assert json.loads(lines[2])["name"] == "\udcff"
    assert "ZeroDivisionError" in json.loads(lines[3])["exception"]


ODD = """
import logging, signal, structlog, sys, threading
odd = logging.StreamHandler()  # as torch has one
logging.getLogger("odd").addHandler(odd)
from service.monitoring import logs
logs.configure("info", "text")

class Broken:
    def __repr__(self):
        raise ValueError("no repr")

log = structlog.get_logger()
log.info("broken", value=Broken())
log.info("forged", reason="a\\n2026-01-01 [info] loaded")
logging.getLogger("uvicorn").info("%d", "no number")
logging.getLogger("odd").warning("own handler")
print("printed", file=sys.stderr)
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
for number in range(300):
    log.info("last", number=number)
"""


def run(program: str, *end: str) -> list[str]:
    """The lines that a program writes to stderr."""
    command = [sys.executable, "-c", "\n".join([program, *end])]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr.splitlines()


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "signal.raise_signal(signal.SIGTERM)"])
def test_no_line_is_lost_at_the_end_or_decides_anything(end: str) -> None:
    lines = run(ODD, end)
    assert "number=299" in lines[-1]
    assert sum("number=" in line for line in lines) == 300
    text = "\n".join(lines)
    for told in ("log line not rendered", "own handler", "printed", "ZeroDivisionError"):
        assert told in text
    assert not any(line.startswith("2026-01-01") for line in lines)


def test_an_exception_that_ends_the_program_is_told_last() -> None:
    lines = run(ODD, "raise KeyError('the end')")
    assert lines[-1] == "KeyError: 'the end'"


def test_a_stderr_that_is_closed_is_no_reason_to_fail() -> None:
    program = ODD + "\nprint('reached')"
    command = ["bash", "-c", '"$0" -c "$1" 2>&-', sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("reached\n")


class Raising:
    """A logger that fails, as one that writes to a closed pipe does."""

    def __getattr__(self, _name: str) -> Any:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.fixture
def raising(_logs_as_at_the_start: None) -> None:
    structlog.configure(logger_factory=lambda *_: Raising())


@pytest.mark.usefixtures("raising")
def test_no_log_call_decides_what_a_service_does(serve: Serve, repository: Path) -> None:
    """However structlog is configured: every call of the code may fail."""
    publish_tiny(repository, "shapes")
    (repository / "shapes" / "1" / "weights.pt").write_bytes(b"changed")
    client = serve(watch_interval=0.01)
    models = client.get("/v1/models").json()["models"]
    assert [[each["state"] for each in model["versions"]] for model in models] == [
        ["ready", "ready"],
        ["failed"],
    ]
    assert "SHA-256" in models[1]["versions"][0]["reason"]
    assert client.post(PREDICT, files=parts(encode(picture(0)))).status_code == 200
    shutil.rmtree(repository / "shapes")
    publish_tiny(repository, seed=2)
    until(lambda: client.post(PREDICT, files=parts(encode(picture(0)))).json()["version"] == 3)
    assert [model["name"] for model in client.get("/v1/models").json()["models"]] == ["colors"]


@pytest.mark.usefixtures("raising")
def test_a_batch_that_fails_fails_alone(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve()
    image = parts(encode(picture(0)))
    batcher = batcher_of(client)

    async def failing(_items: object) -> list[Any]:
        raise RuntimeError("the device is gone")

    with monkeypatch.context() as patch:
        patch.setattr(batcher, "run", failing)
        assert client.post(PREDICT, files=image).status_code == 500
    assert client.post(PREDICT, files=image).status_code == 200


RAW = {
    "logs.py",  # which makes them safe
    "environment.py",  # below the log, and called once it is configured
    "telemetry.py",  # which does as much for itself: each request would pay for it
}


def test_every_module_logs_in_a_way_that_never_fails() -> None:
    service = Path(logs.__file__).parents[1]
    raw = {
        path.name
        for path in service.rglob("*.py")
        if "structlog.get_logger" in path.read_text(encoding="utf-8")
    }
    assert raw == RAW, "use logs.Log() there"
