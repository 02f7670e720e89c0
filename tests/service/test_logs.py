"""The log has one form, whoever writes to it."""

import json
import subprocess
import sys

PROGRAM = """
import logging, structlog, warnings
from service import logs
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
