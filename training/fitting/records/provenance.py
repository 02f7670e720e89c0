"""Which code made a checkpoint: the commit of the checkout that Fanlight runs from."""

import shutil
import subprocess
from pathlib import Path


def commit() -> str:
    """The commit's hash, with `-dirty` behind it if tracked code differs, or `unknown`.

    `unknown` where Fanlight runs from an installed package, or git is not there.
    """
    root = Path(__file__).resolve().parents[3]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return "unknown"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [git, "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603

    head = run("rev-parse", "HEAD")
    if head.returncode:
        return "unknown"
    changed = run("diff", "--quiet", "HEAD", "--", "models/*.py", "training").returncode
    return head.stdout.strip() + ("-dirty" if changed else "")
