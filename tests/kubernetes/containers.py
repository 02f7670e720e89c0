"""A container of a manifest, run on this machine by bubblewrap: its environment, user and disk.

    image (Dockerfile) + manifest → command, variables, user, volumes → bubblewrap

The program is the installed one, at the place where the image has it. Processor time and memory are
not limited, and seccomp is off: these are the container runtime's.
"""

import ctypes
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.kubernetes.manifests import Manifest
from tests.waiting import until

ROOT = Path(__file__).parents[2]
BWRAP, SETPRIV = shutil.which("bwrap"), shutil.which("setpriv")
IMAGE = "/opt/fanlight"  # the virtual environment in the image
_HOME = "/home/fanlight"  # of the image's user; there is no such folder
_ADDRESS = "127.0.0.2"  # what listens on 127.0.0.1 alone does not answer here, nor a kubelet
_CLONE_NEWNET = 0x40000000
_CLUSTER = {  # what Kubernetes sets whatever the manifest says
    "HOSTNAME": "fanlight-0",
    "KUBERNETES_PORT": "tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP": "tcp://10.96.0.1:443",
    "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    "KUBERNETES_SERVICE_PORT": "443",
}


def why_not() -> str | None:
    """Return why no container can be started here, or None."""
    if BWRAP is None or SETPRIV is None:
        return "bwrap (bubblewrap) or setpriv is not on PATH"
    if os.geteuid():
        return "only root can become another user"
    tried = subprocess.run([BWRAP, "--unshare-net", "--ro-bind", "/", "/", "true"])
    return "bwrap may not make namespaces here" if tried.returncode else None


def image_variables() -> dict[str, str]:
    """Return the variables that the Dockerfile sets in its last stage."""
    final = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2].replace("\\\n", " ")
    set_there = {"PATH": "/usr/local/bin:/usr/bin:/bin"}  # of the base image
    for line in re.findall(r"^ENV (.*)$", final, re.MULTILINE):
        for each in shlex.split(line):
            name, _, value = each.partition("=")
            set_there[name] = value.replace("$PATH", set_there["PATH"])
    return set_there


def links(service: str, port: int) -> dict[str, str]:
    """Return some of the variables that Kubernetes sets for a Service, unless told not to."""
    name, address = service.upper().replace("-", "_"), "10.96.0.12"
    return {
        f"{name}_SERVICE_HOST": address,
        f"{name}_SERVICE_PORT": str(port),
        f"{name}_PORT": f"tcp://{address}:{port}",
        f"{name}_PORT_{port}_TCP_ADDR": address,
    }


@dataclass(frozen=True)
class Container:
    """A container that runs; `answer` asks it from within its network."""

    manifest: Manifest
    process: subprocess.Popen[bytes]
    pid: int  # of the service, as this machine counts
    volumes: Mapping[str, Path]
    log: Path
    threads: ThreadPoolExecutor

    def answer(
        self,
        method: str,
        path: str,
        port: int | str,
        content: bytes | None = None,
        key: str | None = None,
    ) -> httpx.Response | None:
        """Ask for a path; `port` may be the name of one. None if nobody listens."""
        headers = {"Authorization": f"Bearer {key}"} if key else None
        url = f"http://{_ADDRESS}:{self.number(port)}{path}"

        def ask() -> httpx.Response | None:
            try:
                return httpx.request(method, url, content=content, headers=headers, timeout=30)
            except httpx.ConnectError:
                return None

        return self.threads.submit(ask).result(60)

    def number(self, port: int | str) -> int:
        named = {each.get("name"): each["containerPort"] for each in self.manifest["ports"]}
        return int(named.get(port, port))

    def passes(self, probe: str) -> bool:
        """Probe it once, as the kubelet does."""
        asked = self.manifest[probe]["httpGet"]
        found = self.answer("GET", asked["path"], asked["port"])
        return found is not None and 200 <= found.status_code < 400

    def until_ready(self) -> None:
        until(lambda: self.process.poll() is not None or self.passes("readinessProbe"), 120)
        assert self.process.poll() is None, self.log.read_text()

    def events(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        return [json.loads(each) for each in self.log.read_text().splitlines()]

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def status(self) -> dict[str, str]:
        """What the kernel tells of the process."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (each.partition(":") for each in lines)}


@contextmanager
def started(
    pod: Manifest,
    folder: Path,
    mounted: Mapping[str, Path] | None = None,
    variables: Mapping[str, str] | None = None,
    command: Sequence[str] | None = None,
) -> Iterator[Container]:
    """Run the container of a pod until the block ends; it is killed if it still runs then.

    `mounted` has the folders that claims or KServe mount, by path in the container; `variables` are
    further ones, such as `links`. `command` is run in place of the manifest's.
    """
    [manifest] = pod["containers"]
    rights = {**pod.get("securityContext", {}), **manifest["securityContext"]}
    volumes = _empty_folders(pod, folder, rights.get("fsGroup"))
    places = {each["mountPath"]: each for each in manifest["volumeMounts"]}
    binds = list[str]()
    for path, place in places.items():
        if place["name"] in volumes:
            binds += _bound("--bind", volumes[place["name"]], path)
    for path, source in (mounted or {}).items():
        assert path not in places or places[path].get("readOnly") is True
        binds += _bound("--ro-bind", source, path)
    set_here = {each["name"]: each["value"] for each in manifest["env"]}
    environment = {**image_variables(), "HOME": _HOME, **_CLUSTER, **(variables or {}), **set_here}
    arguments = command or [*manifest["command"], *manifest.get("args", [])]
    wrapped = [
        *("--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
        *("--as-pid-1", "--die-with-parent", "--clearenv"),
        *(word for name, value in environment.items() for word in ("--setenv", name, value)),
        *binds,
        *_system(),  # last: the program may lie below /tmp on this machine
        *(("--remount-ro", "/") if rights["readOnlyRootFilesystem"] else ()),
        *("--chdir", "/"),
        *_as_user(rights),
        *arguments,
    ]
    log = folder / "log"
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        told, tell = os.pipe()
        process = subprocess.Popen(
            [str(BWRAP), "--info-fd", str(tell), *wrapped],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[tell],
        )
        stack.callback(process.wait, 30)
        stack.callback(process.kill)
        os.close(tell)
        with os.fdopen(told) as info:
            text = info.read()
        assert text, log.read_text()
        pid = int(json.loads(text)["child-pid"])
        stack.callback(_kill, pid)  # a change of user has undone --die-with-parent
        threads = ThreadPoolExecutor(1, initializer=_enter_network, initargs=(pid,))
        stack.enter_context(threads)
        yield Container(manifest, process, pid, volumes, log, threads)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def secret(folder: Path, name: str, content: str, volume: Manifest, group: int) -> Path:
    """Make the folder of a Secret of one file as the kubelet does, by links."""
    (written := folder / "..2026").mkdir(parents=True)
    (file := written / name).write_text(content)
    os.chown(file, 0, group)
    file.chmod(volume["secret"]["defaultMode"])
    (folder / "..data").symlink_to(written.name)
    (folder / name).symlink_to(f"..data/{name}")
    return folder


def _empty_folders(pod: Manifest, folder: Path, group: int | None) -> dict[str, Path]:
    """Make the folders of `emptyDir`, to which everybody may write, as Kubernetes does."""
    made = {}
    for each in pod["volumes"]:
        if "emptyDir" in each:
            path = made[each["name"]] = folder / "volumes" / each["name"]
            path.mkdir(parents=True)
            if group is not None:
                os.chown(path, 0, group)
            path.chmod(0o777 if group is None else 0o2777)
    return made


def _bound(kind: str, source: Path | str, place: str) -> Iterator[str]:
    """The arguments that show a file or folder at this place."""
    for parent in reversed(Path(place).parents[:-1]):  # else only root may enter them
        yield from ("--perms", "0755", "--dir", str(parent))
    yield from (kind, str(source), place)


def _system() -> Iterator[str]:
    """The arguments that show the container the system and the program, and nothing else."""
    for name in ("/bin", "/lib", "/lib64", "/sbin"):
        if Path(name).is_symlink():
            yield from ("--symlink", str(Path(name).readlink()), name)
        elif Path(name).exists():
            yield from ("--ro-bind", name, name)
    yield from ("--perms", "0755", "--dir", "/etc")  # not that of this machine: volumes lie there
    for name in ("ld.so.cache", "nsswitch.conf", "passwd", "group", "ssl"):
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    for name in ("/usr", sys.base_prefix, sys.prefix, str(ROOT)):
        yield from _bound("--ro-bind", name, name)
    yield from _bound("--ro-bind", sys.prefix, IMAGE)
    yield from ("--proc", "/proc", "--dev", "/dev")


def _as_user(rights: Manifest) -> Iterator[str]:
    """The arguments that make the command the user of the manifest, with its rights."""
    yield from (str(SETPRIV), f"--reuid={rights['runAsUser']}", f"--regid={rights['runAsGroup']}")
    group = rights.get("fsGroup")
    yield "--clear-groups" if group is None else f"--groups={group}"
    if rights["allowPrivilegeEscalation"] is False:
        yield "--no-new-privs"
    if rights["capabilities"] == {"drop": ["ALL"]}:
        yield from ("--bounding-set=-all", "--inh-caps=-all")
    yield "--"


def _enter_network(pid: int) -> None:
    """Let this thread, and no other one, use the network of a process."""
    library = ctypes.CDLL(None, use_errno=True)
    with Path(f"/proc/{pid}/ns/net").open("rb") as network:
        if library.setns(network.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


reason = why_not()
needs_containers = pytest.mark.skipif(reason is not None, reason=str(reason))
