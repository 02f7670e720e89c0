"""The built image as a running container: with the user, command and health check of the image,
and the disk and variables that docker-compose.yml gives it.
"""

import json
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from deploy.container import dockerfile as files
from deploy.container import roots
from deploy.container.building import ROOT, Rehearsal, RehearsalError

PICTURE = ROOT / "tests" / "data" / "digits" / "7.png"
MODEL, LABEL = "mnist-cnn", "7"
PATIENCE = 120  # seconds for the service to become healthy, and to end
ASK = """
import sys, urllib.request
kind = {"Content-Type": "image/png"}
request = urllib.request.Request(sys.argv[1], sys.stdin.buffer.read(), kind)
print(urllib.request.urlopen(request, timeout=30).read().decode())
"""


@dataclass(frozen=True)
class Composed:
    """How docker-compose.yml runs the service `fanlight`, where no variable is set."""

    environment: Mapping[str, str]
    memory: Mapping[str, str]  # path → options of a tmpfs
    volumes: Sequence[str]  # paths
    shared: Mapping[str, Path]  # path → folder of the machine, to be read


def composed() -> Composed:
    text = (ROOT / "docker-compose.yml").read_text()
    service = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))["services"]["fanlight"]
    if not (service["read_only"] and service["cap_drop"] == ["ALL"]):
        raise RehearsalError("docker-compose.yml: the rehearsal knows only hardened services")
    mounts = [each for each in service["volumes"] if isinstance(each, dict)]
    return Composed(
        {name: str(value or "") for name, value in service["environment"].items()},
        dict(each.split(":", 1) for each in service["tmpfs"]),
        [each.split(":")[1] for each in service["volumes"] if isinstance(each, str)],
        {each["target"]: ROOT / each["source"] for each in mounts},
    )


class Container:
    """The image, run as docker-compose.yml says, in a network of its own with only loopback."""

    def __init__(self, rehearsal: Rehearsal, root: Path) -> None:
        found = composed()
        roots.give_devices(root)
        memory = dict(found.memory)
        for path in found.volumes:  # an empty volume gets owner and mode of the image's folder
            owner = roots.inside(root, path).stat()
            memory[path] = f"uid={owner.st_uid},gid={owner.st_gid},mode={owner.st_mode & 0o7777:o}"
        roots.as_a_container(root, memory, found.shared)
        self._root = root
        self._environment = {
            **rehearsal.environment["image"],
            **found.environment,
            "FANLIGHT_SHUTDOWN_GRACE": "0",
        }
        last = {step.name: step.text for step in rehearsal.dockerfile.stages["image"].steps}
        self._user = last["USER"]
        self._command = files.command(last["CMD"])
        self._check = files.command(last["HEALTHCHECK"].partition(" CMD ")[2])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start the service, and return the seconds until its health check succeeds."""
        inner = shlex.join(roots.unprivileged(self._root, self._user, self._command))
        began = time.monotonic()
        self._process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", f"ip link set lo up && exec {inner}"],
            env=self._environment,
        )
        while not self._is_alone() or self._inside(self._check).returncode:
            if self._process.poll() is not None or time.monotonic() > began + PATIENCE:
                raise RehearsalError("the service did not become healthy; its log is above")
            time.sleep(0.5)
        return time.monotonic() - began

    def _is_alone(self) -> bool:
        """Whether the process is in its own network yet, where the machine's ports are not seen."""
        assert self._process is not None
        own, other = (Path(f"/proc/{which}/ns/net") for which in ("self", self._process.pid))
        with suppress(FileNotFoundError):  # it has ended
            return own.readlink() != other.readlink()
        return False

    def predict(self) -> str:
        """Return the label of the picture, as the service names it."""
        url = f"http://127.0.0.1:8000/v1/models/{MODEL}/predict"
        answer = self._inside(["python", "-c", ASK, url], PICTURE.read_bytes())
        if answer.returncode:
            raise RehearsalError(f"no prediction: {answer.stderr.decode()}")
        return str(json.loads(answer.stdout)["predictions"][0]["label"])

    def status(self) -> str:
        """What the system says of the rights of the service's process."""
        assert self._process is not None
        lines = Path(f"/proc/{self._process.pid}/status").read_text()
        wanted = re.compile(r"^(?:Uid|CapEff|CapBnd|NoNewPrivs):.*$", re.MULTILINE)
        return ", ".join(" ".join(each.split()) for each in wanted.findall(lines))

    def writes(self) -> bool:
        """Whether a process of the image can write anywhere but into its temporary folders."""
        return not self._inside(["touch", "/opt/fanlight/written"]).returncode

    def stop(self) -> int:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _inside(
        self, command: Sequence[str], given: bytes = b""
    ) -> "subprocess.CompletedProcess[bytes]":
        assert self._process is not None
        namespace = f"--net=/proc/{self._process.pid}/ns/net"
        return subprocess.run(
            ["nsenter", namespace, *roots.unprivileged(self._root, self._user, command)],
            env=self._environment,
            input=given,
            capture_output=True,
        )


def serve(container: Container) -> None:
    """Ask the started service for a prediction, look at its rights, and end it."""
    print(f"rights: {container.status()}")
    label = container.predict()
    print(f"prediction of {PICTURE.name}: {label}")
    if label != LABEL:
        raise RehearsalError(f"the picture shows a {LABEL}, not a {label}")
    if container.writes():
        raise RehearsalError("the image's user can write to its own files")
    status = container.stop()
    print(f"ended with status {status} at SIGTERM", flush=True)
    if status:
        raise RehearsalError("SIGTERM must end the service with status 0")
