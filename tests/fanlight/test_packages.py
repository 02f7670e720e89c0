"""Files of the user's with the names of our packages are not imported instead of them."""

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from fanlight import packages
from tests.waiting import until

pytestmark = pytest.mark.slow
ROOT = str(Path(packages.__file__).parents[1])
SCRIPT = """import sys
from fanlight.__main__ import main
if __name__ == "__main__":
    sys.exit(main())
"""  # what pip writes


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A working folder with files of our packages' names."""
    folder = tmp_path / "work"
    (folder / "training").mkdir(parents=True)
    for name in ("models.py", "service.py", "training/__init__.py", "training/commands.py"):
        (folder / name).write_text("raise RuntimeError('a file of the user')\n")
    return folder


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["/lib", ROOT], ["/lib", ROOT]),
        (["OWN", "/lib", ROOT], ["/lib", ROOT, "OWN"]),
        (["/lib", "OWN", ROOT, "/more"], ["/lib", ROOT, "OWN", "/more"]),
        (["OWN", "/lib"], ["/lib", ROOT, "OWN"]),
        ([ROOT, "OWN"], [ROOT, "OWN"]),
    ],
)
def test_our_folder_comes_before_one_with_such_names(
    before: list[str], after: list[str], own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [entry.replace("OWN", str(own)) for entry in before])
    packages.put_first()
    assert sys.path == [entry.replace("OWN", str(own)) for entry in after]


def test_the_working_folder_counts_as_a_folder(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own)
    monkeypatch.setattr(sys, "path", ["", ROOT])
    packages.put_first()
    assert sys.path == [ROOT, ""]


@pytest.mark.thorough
def test_the_command_and_its_workers_import_ours(own: Path, tmp_path: Path) -> None:
    """The workers are processes of their own, in the user's folder, with it on PYTHONPATH."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = tmp_path / "fanlight"
    script.write_text(SCRIPT)
    (tmp_path / "repository").mkdir()
    line = ["serve", "--workers", "2", "--port", str(port)]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(script), *line, "--repository", str(tmp_path / "repository")],
            cwd=own,
            env=os.environ | {"PYTHONPATH": f"{own}{os.pathsep}{ROOT}"},
            stderr=output,
        )
        try:
            assert answers(f"http://127.0.0.1:{port}/health/live", process), log.read_text()
        finally:
            process.terminate()
            process.wait(timeout=60)
    assert "a file of the user" not in log.read_text()


@pytest.mark.parametrize("module", ["fanlight", "training"])
@pytest.mark.thorough
def test_a_module_beside_which_they_stand_imports_ours(module: str, own: Path) -> None:
    if module == "training":
        for path in (own / "training").iterdir():  # it would be the program itself
            path.unlink()
    result = run(own, "-m", module, "results", "--docs", "nowhere")
    assert result.stderr == "error: there is no folder nowhere: name one with --docs\n"
    assert result.returncode == 2


@pytest.mark.parametrize("module", ["training", "service"])
def test_a_file_instead_of_the_command_itself_is_named(module: str, tmp_path: Path) -> None:
    (tmp_path / "fanlight.py").write_text("")
    result = run(tmp_path, "-m", module, "--help")
    assert result.returncode == 1
    assert result.stderr == (
        f"error: {tmp_path / 'fanlight.py'} was imported instead of Fanlight's own package "
        "fanlight; rename it, or start in another folder\n"
    )


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
    )


def answers(url: str, process: "subprocess.Popen[bytes]") -> bool:
    """Whether it answers before it ends."""

    def outcome() -> str | None:
        if process.poll() is not None:
            return "ended"
        with (
            suppress(urllib.error.URLError, ConnectionError),
            urllib.request.urlopen(url, timeout=5) as answer,  # noqa: S310
        ):
            return f"status {answer.status}"
        return None

    return until(outcome, seconds=120) == "status 200"
