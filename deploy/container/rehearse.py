"""Builds and runs the image without Docker: `sudo python -m deploy.container.rehearse`.

The steps come from the Dockerfile, so they can't drift from it. Each stage is a folder over those
that it stands on, its RUNs are run by chroot, and COPY and bind mounts take from the context what
`.dockerignore` lets through. In place of the base image there is a minimal Debian bookworm with its
python3.11, made by debootstrap. The image is then run as docker-compose.yml says: its user, no
capabilities, a read-only disk with the volumes and variables of the service `fanlight`, and no
network but loopback. It has to become healthy by its HEALTHCHECK, name the digit of a picture, and
end with status 0 at SIGTERM; twice, the second time with the graphs that it kept.

Needs root, Linux, debootstrap, and 10 GB of disk for torch with CUDA, 3 GB without. Stages are kept
in the folder --work, and built again if what went into them has changed.
"""

import argparse
import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

from deploy.container.building import Rehearsal, RehearsalError
from deploy.container.dockerfile import DockerfileError
from deploy.container.running import Container, serve

TARGETS = ("sbom", "image")
INSIDE = "FANLIGHT_REHEARSAL"  # variable of the process that has its own mounts
DEBIAN = ("--variant=minbase", "--include=python3,python3-venv,python3-pip,ca-certificates")


def debian(folder: Path) -> Path:
    """Make a minimal Debian with Python, unless it is there."""
    done = folder.with_name(f"{folder.name}.done")
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        print("debootstrap bookworm", flush=True)
        with folder.with_name("debootstrap.txt").open("wb") as log:
            made = subprocess.run(["debootstrap", *DEBIAN, "bookworm", folder], stdout=log)
        if made.returncode:
            raise RehearsalError(f"debootstrap failed; {log.name} tells why")
        done.touch()
    return folder


def rehearse(options: argparse.Namespace) -> None:
    began = time.monotonic()
    options.work.mkdir(parents=True, exist_ok=True)
    lock = (options.work / "lock").open("w")  # until the process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RehearsalError(
            f"another rehearsal runs in {options.work}; wait for it, or name another folder with "
            "--work"
        ) from None
    base = options.base or debian(options.work / "debian")
    python = base / "usr" / "local" / "bin" / "python"  # as the base image has it
    if not python.is_symlink():
        python.symlink_to("/usr/bin/python3")
    given = dict(each.split("=", 1) for each in options.build_arg)
    rehearsal = Rehearsal(options.work.resolve(), base.resolve(), given, options.bind)
    for target in TARGETS:
        root = rehearsal.build(target)
        if target == "sbom":
            told = json.loads((root / "fanlight.cdx.json").read_text())
            print(f"sbom: {told['bomFormat']} {told['specVersion']}", end=", ")
            print(f"{len(told['components'])} packages, of {told['metadata']['component']['name']}")
    container = Container(rehearsal, root)
    for start in ("first start", "with kept graphs"):
        try:
            print(f"healthy after {container.start():.1f} s ({start})")
            serve(container)
        finally:
            container.kill()
    print(f"rehearsed on {platform.machine()} in {time.monotonic() - began:.0f} s")


def missing() -> str | None:
    """Why this machine can't rehearse, None if it can."""
    if platform.system() != "Linux" or os.geteuid():
        return "it needs Linux and root"
    for name in ("debootstrap", "unshare", "nsenter", "setpriv", "ip"):
        if shutil.which(name) is None:
            return f"{name} is not on PATH; on Debian: apt-get install debootstrap iproute2"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.container.rehearse",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--work", type=Path, default=Path("build/rehearsal"), help="where stages are kept"
    )
    parser.add_argument("--base", type=Path, help="a root with Python that is there already")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--bind",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="a file or folder of this machine that pip needs: certificates, wheels",
    )
    options = parser.parse_args()
    for each in options.build_arg:
        if "=" not in each:
            parser.error(f"--build-arg {each}: write NAME=VALUE")
    for path in (*options.bind, *([options.base] if options.base else [])):
        if not path.exists():
            parser.error(f"there is no {path}")
    if set(str(options.work.resolve())) & set(":,"):
        parser.error(
            f"--work {options.work}: overlays can't be in a folder with : or , in its path"
        )
    if reason := missing():
        print(f"this machine can't rehearse: {reason}", file=sys.stderr)
        return 1
    if (
        os.environ.get(INSIDE) is None
    ):  # namespaces of its own: nothing stays mounted, nothing running
        again = [sys.executable, "-m", "deploy.container.rehearse", *sys.argv[1:]]
        flags = ("--mount", "--propagation=private", "--pid", "--fork", "--kill-child")
        unshare = ["unshare", *flags, "--mount-proc", *again]
        return subprocess.run(unshare, env={**os.environ, INSIDE: "1"}).returncode
    try:
        rehearse(options)
    except (RehearsalError, DockerfileError, OSError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
