"""What programs that call every operation tell of the answers, whatever wrote their client."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.networks import DATA

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
FILES = [DATA / "birds-vs-planes" / name for name in ("bird-owl.png", "airplane-747.png")]
DIGESTS = sorted(hashlib.sha256(each.read_bytes()).hexdigest() for each in FILES)
MODEL = "birds-vs-planes"
TOLD = {
    "live": "live",
    "ready": "ready",
    "figures": True,
    "labels": ["airplane", "bird"],
    "label": "bird",
    "predictions": 2,
    "features": [[24, 31, 31]],
    "kernels": [24, 3, 2, 2],
    "fields": True,
    "inputs": 2,
    "explained": 2,
    "problem": [415, 0],
}
"""What each client finds, but the names of the models."""
NODE_MODULES = HERE / "node_modules"
_COMPILER_OPTIONS = {
    "strict": True,
    "target": "es2022",
    "module": "nodenext",
    "outDir": "built",
    "rootDir": ".",
    "types": ["node"],
    "skipLibCheck": True,
    "lib": ["es2022", "dom", "dom.iterable"],
}


def needs_node() -> None:
    """Skip the test unless the generators that run on Node are installed."""
    if shutil.which("node") is None or not NODE_MODULES.exists():
        pytest.skip(f"npm ci --prefix {HERE.relative_to(ROOT)} has not installed the generators")


def tool(name: str, *arguments: str, folder: Path) -> str:
    """Run one of the installed tools; return what it tells, and fail with that if it fails."""
    command = [str(NODE_MODULES / ".bin" / name), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def typescript_ran(program: str, folder: Path, *arguments: str) -> None:
    """Compile a program of this folder, beside the client in `folder`, strictly; then run it."""
    shutil.copy(HERE / program, folder / "main.ts")
    shutil.copy(HERE / "told.ts", folder)
    (folder / "node_modules").symlink_to(NODE_MODULES)
    (folder / "package.json").write_text('{"type": "module"}')
    options = {"compilerOptions": _COMPILER_OPTIONS, "files": ["main.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(options))
    tool("tsc", folder=folder)
    ran(["node", "built/main.js", *arguments], folder)


def ran(command: list[str], folder: Path) -> None:
    """Run a program in the folder; check what it tells of the answers."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert MODEL in found.pop("models")
    assert found == TOLD
