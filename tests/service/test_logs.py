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
warnings.warn("a warning")
"""


def test_logs_of_libraries_take_the_same_form() -> None:
    command = [sys.executable, "-c", PROGRAM]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert events[:2] == ["from a library", "own"]
    assert "a warning" in events[2]
