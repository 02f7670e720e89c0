"""Folders as root file systems: stages laid over one another, and programs that run inside.

Needs root, Linux's overlay file system, and a mount namespace of its own (`unshare --mount`): what
is mounted here is then gone with the process.
"""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEVICES = ("null", "zero", "full", "random", "urandom")


def inside(root: Path, path: str) -> Path:
    """The place of an absolute path of a root, seen from outside."""
    return root / path.lstrip("/")


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def overlay(lower: Sequence[Path], upper: Path, place: Path) -> None:
    """Mount at `place` the folders `lower`, the topmost first, with changes going to `upper`."""
    scratch = upper.with_name(f"{upper.name}.work")  # the overlay's own
    for each in (upper, scratch, place):
        each.mkdir(parents=True, exist_ok=True)
    below = ":".join(map(str, lower))
    mount(
        *("-t", "overlay", "overlay", "-o"),
        f"lowerdir={below},upperdir={upper},workdir={scratch}",
        place,
    )


@contextmanager
def mounted(source: Path, root: Path, target: str) -> Iterator[None]:
    """A folder or file of the machine, read-only at `target` inside of a root."""
    place = inside(root, target)
    is_new = not place.exists()
    if source.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    mount("--bind", source, place)
    mount("-o", "remount,bind,ro", place)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)
        if is_new:
            place.rmdir() if place.is_dir() else place.unlink()


def give_devices(root: Path) -> None:
    """Mount `/proc`, and a `/dev` with the few devices that a container has."""
    mount("-t", "proc", "proc", inside(root, "/proc"))
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", inside(root, "/dev"))
    for name in DEVICES:
        inside(root, f"/dev/{name}").touch()
        mount("--bind", Path("/dev", name), inside(root, f"/dev/{name}"))
    inside(root, "/dev/shm").mkdir()
    mount("-t", "tmpfs", "-o", "size=64m,mode=1777", "tmpfs", inside(root, "/dev/shm"))


def as_a_container(
    root: Path, temporary: Mapping[str, str], shared: Mapping[str, Path] | None = None
) -> None:
    """Make a root read-only, but for what is mounted in it.

    `temporary` is path → options of tmpfs: memory in place of these folders. `shared` is path →
    folder of the machine, which can be read there.
    """
    for path, options in temporary.items():
        mount("-t", "tmpfs", "-o", options, "tmpfs", inside(root, path))
    for path, folder in (shared or {}).items():
        place = inside(root, path)
        place.mkdir(parents=True, exist_ok=True)
        mount("--bind", folder, place)
        mount("-o", "remount,bind,ro", place)
    mount("-o", "remount,ro", root)


def run(
    root: Path, command: Sequence[str], environment: Mapping[str, str], log: Path, folder: str = "/"
) -> int:
    """Run a command inside of a root, and return its exit status; what it says goes to the log."""
    with log.open("ab") as output:
        return subprocess.run(
            [_program("chroot"), str(root), "env", "-C", folder, *command],
            env={"PATH": USUAL_PATH, "HOME": "/root", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ).returncode


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not on PATH")
    return found


def unprivileged(root: Path, user: str, command: Sequence[str]) -> list[str]:
    """The command, run inside of a root as a user without capabilities, who can get none."""
    lines = inside(root, "/etc/passwd").read_text().splitlines()
    group = next(fields[3] for fields in (line.split(":") for line in lines) if fields[2] == user)
    rights = ("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--clear-groups")
    ids = (f"--reuid={user}", f"--regid={group}")
    return ["chroot", str(root), "setpriv", *rights, *ids, *command]
