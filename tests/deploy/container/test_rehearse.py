"""The image's steps, run in a Debian of their own up to a prediction; and wrong usage."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.container import rehearse, running

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "deploy.container.rehearse"]
NEEDED_BYTES = 10 * 2**30


def test_it_runs_the_service_as_compose_does() -> None:
    found = running.composed()
    assert found.environment["FANLIGHT_REPOSITORY"] in found.shared
    assert found.shared["/checkpoints"] == ROOT / "models" / "checkpoints"
    assert found.memory == {"/tmp": "size=512m,mode=1777"}
    assert found.volumes == ["/var/cache/fanlight"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--build-arg", "BASE"], "write NAME=VALUE"),
        (["--base", "no such folder"], "there is no no such folder"),
        (["--bind", "no such file"], "there is no no such file"),
        (["--work", "a:b"], "can't be in a folder with : or ,"),
        (["--wrok", "a"], "unrecognized arguments"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], reason: str) -> None:
    ended = subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert reason in ended.stderr


@pytest.mark.thorough
@pytest.mark.timeout(2400)
def test_the_image_is_built_and_serves(tmp_path: Path) -> None:
    if reason := rehearse.missing():
        pytest.skip(reason)
    if shutil.disk_usage(tmp_path).free < NEEDED_BYTES:
        pytest.skip("it needs 10 GB of disk")
    options = []
    if index := os.environ.get("TORCH_INDEX"):
        options += ["--build-arg", f"TORCH_INDEX={index}"]
    if certificates := os.environ.get("PIP_CERT"):
        options += ["--bind", str(Path(certificates).parent)]
    ended = subprocess.run(
        [*COMMAND, "--work", str(tmp_path), *options], cwd=ROOT, capture_output=True, text=True
    )
    shutil.rmtree(tmp_path)
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert "sbom: CycloneDX" in ended.stdout
    assert ended.stdout.count("prediction of 7.png: 7") == 2
    assert ended.stdout.count("CapEff: 0000000000000000") == 2
