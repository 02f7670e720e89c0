"""Workers import the code that the operator allows, also those that SIGHUP has started."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.e2e.servers import running
from tests.waiting import until

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_network" / "network.py"
PROGRAM = """
import sys, torch, striped
from fanlight.command import main
torch.save(striped.Stripes(2).state_dict(), "stripes.pt")
sys.exit(main(["import", "stripes.pt", "--architecture", "striped:Stripes", "--labels", "a", "b"]))
"""


@pytest.mark.thorough
def test_new_workers_import_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(EXAMPLE, tmp_path / "striped.py")
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, check=True, timeout=120)
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # as under the program `fanlight`
    flags = ["--repository", "checkpoints", "--architectures", "striped", "--log-format", "json"]
    log = tmp_path / "log"
    with running(log, *flags, "--workers", "2", cwd=tmp_path) as server:
        server.process.send_signal(signal.SIGHUP)
        until(lambda: log.read_text().count('"worker ended"') == 2, seconds=120)
        assert log.read_text().count('"event":"loaded"') == 4, log.read_text()
        asked = [httpx.get(f"{server.url}/v1/models").json()["models"] for _ in range(8)]
        assert {each[0]["versions"][0]["state"] for each in asked} == {"ready"}
        assert server.stop() == 0
    assert "not loaded" not in log.read_text()
