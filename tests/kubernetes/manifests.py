"""The objects of deploy/kubernetes, as kustomize renders them."""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

Manifest = dict[str, Any]
FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "gpu", "cpu-to-zero")
RUNTIME = FOLDER / "kserve"
KUBECTL = shutil.which("kubectl")
needs_kubectl = pytest.mark.skipif(
    KUBECTL is None, reason="kubectl is not on PATH; its command `kustomize` needs no cluster"
)


@cache
def rendered(folder: Path) -> tuple[Manifest, ...]:
    """Return what `kubectl apply -k FOLDER` would send."""
    command = [str(KUBECTL), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "kustomize warns"
    return tuple(yaml.safe_load_all(done.stdout))


def overlay(name: str) -> tuple[Manifest, ...]:
    return rendered(FOLDER / "overlays" / name)


def only(manifests: tuple[Manifest, ...], kind: str) -> Manifest:
    """The object of this kind, of which there is one."""
    [found] = [each for each in manifests if each["kind"] == kind]
    return found


def pod(name: str) -> Manifest:
    """The specification of an overlay's pods."""
    found: Manifest = only(overlay(name), "Deployment")["spec"]["template"]["spec"]
    return found


def with_components(folder: Path, *names: str) -> tuple[Manifest, ...]:
    """The overlay for processors with these components, as docs/deploy.md does it."""
    written = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [_from(folder, FOLDER / "overlays" / "cpu")],
        "components": [_from(folder, FOLDER / "components" / name) for name in names],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(written))
    return rendered(folder)


def _from(folder: Path, other: Path) -> str:
    """The path from one folder to another; kustomize takes no absolute ones."""
    return str(Path(*[".."] * (len(folder.resolve().parts) - 1), *other.parts[1:]))
