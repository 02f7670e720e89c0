"""The tutorial from nothing: its commands, one after the other, in an empty folder."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.servers import Server, free_port, wait_until_ready
from tests.training.pictures import write_colors

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(1200)]
DOCS = Path(__file__).parents[2] / "docs"
INSTALLS = re.compile(r"pip install|python3 -m venv|PIP_EXTRA_INDEX_URL")
SERVES = "fanlight serve"


def blocks(page: Path) -> list[str]:
    """The code blocks of the shell, but for the lines that install."""
    found = re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    kept = ["\n".join(x for x in each.splitlines() if not INSTALLS.search(x)) for each in found]
    return [each for each in kept if each.strip()]


def test_both_languages_have_the_same_commands() -> None:
    texts = [
        [re.sub(r"\s+#.*", "", each) for each in blocks(DOCS / name)]
        for name in ("tutorial.md", "tutorial.zh-CN.md")
    ]
    assert texts[0] == texts[1]


def test_its_commands(tmp_path: Path) -> None:
    port = str(free_port())
    write_colors(tmp_path / "my-pictures", pictures=40)
    environment = {
        **{name: value for name, value in os.environ.items() if "FANLIGHT" not in name},
        **{"FANLIGHT_PORT": port, "OMP_NUM_THREADS": "1"},
    }
    told = {}
    server: subprocess.Popen[bytes] | None = None
    try:
        for block in blocks(DOCS / "tutorial.md"):
            script = block.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
            script = script.replace(":8000", f":{port}")
            if SERVES in script:
                command = [f"{Path(sys.executable).parent}/fanlight", "serve"]
                with (tmp_path / "serve.log").open("wb") as log:
                    server = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=log)
                url = f"http://127.0.0.1:{port}"
                wait_until_ready(Server(server, url, tmp_path / "serve.log"))
                continue
            done = subprocess.run(
                ["bash", "-e", "-c", script],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            told[block] = done.stdout
        assert server is not None
        [answer] = [text for block, text in told.items() if "/predict" in block]
        assert json.loads(answer)["predictions"][0]["label"] == "circles"
        with Image.open(tmp_path / "heat.png") as heat:
            assert min(heat.size) >= 116
        published = tmp_path / "checkpoints"
        assert {each.name for each in published.iterdir()} == {"shapes", "pets"}
        found = {each.name for each in (published / "shapes" / "1").iterdir()}
        assert found >= {"weights.pt", "card.json"}
    finally:
        if server is not None:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
