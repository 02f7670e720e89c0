"""The service runs with exactly what a manifest gives it, and ends within its grace."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.access import api_keys
from tests.kubernetes import manifests
from tests.kubernetes.containers import Container, links, needs_containers, secret, started
from tests.kubernetes.manifests import RUNTIME, needs_kubectl, only, pod, rendered
from tests.networks import DATA

pytestmark = [pytest.mark.slow, needs_kubectl, needs_containers]

SHIPPED = Path(__file__).parents[2] / "models" / "checkpoints"
DIGIT = (DATA / "digits" / "7.png").read_bytes()
KEY = api_keys.new()
TRIES = """
import glob
for folder in ("/", *glob.glob("/*/"), *glob.glob("/*/*/"), *glob.glob("/*/*/*/")):
    if not folder.startswith(("/proc/", "/dev/", "/sys/")):
        try:
            open(folder + "x", "w").close()
        except OSError:
            continue
        print(folder)
"""


def one_model(folder: Path) -> Path:
    """A repository of one model that Fanlight ships."""
    shutil.copytree(SHIPPED / "mnist-cnn" / "1", folder / "mnist-cnn" / "1")
    return folder


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """That of the overlay for processors, with the models of a volume and API keys."""
    folder = tmp_path_factory.mktemp("pod")
    (made := folder / "kustomization").mkdir()
    objects = manifests.with_components(made, "models", "keys")
    spec = only(objects, "Deployment")["spec"]["template"]["spec"]
    [volume] = [each for each in spec["volumes"] if each["name"] == "keys"]
    group = spec["securityContext"]["fsGroup"]
    keys = secret(folder / "keys", "keys.txt", api_keys.line("alice", KEY), volume, group)
    mounted = {"/checkpoints": one_model(folder / "models"), "/etc/fanlight": keys}
    with started(spec, folder, mounted) as container:
        container.until_ready()
        yield container


def test_the_probes_of_the_manifest_pass(container: Container) -> None:
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container.passes(probe), probe


def test_it_predicts_with_the_models_of_the_volume(container: Container) -> None:
    models = container.answer("GET", "/v1/models", "http", key=KEY)
    assert models is not None
    assert [each["name"] for each in models.json()["models"]] == ["mnist-cnn"]
    answer = container.answer("POST", "/v1/models/mnist-cnn/predict", "http", DIGIT, KEY)
    assert answer is not None
    assert answer.status_code == 200
    assert answer.json()["predictions"][0]["label"] == "7"


def test_it_asks_for_a_key_of_the_secret(container: Container) -> None:
    answer = container.answer("POST", "/v1/models/mnist-cnn/predict", "http", DIGIT)
    assert answer is not None
    assert answer.status_code == 401


def test_metrics_have_a_port_of_their_own(container: Container) -> None:
    answer = container.answer("GET", "/metrics", "metrics")
    assert answer is not None
    assert 'fanlight_queue_images{model="mnist-cnn",version="1"} 0.0' in answer.text
    elsewhere = container.answer("GET", "/metrics", "http")
    assert elsewhere is not None
    assert elsewhere.status_code == 404


def test_it_has_no_rights(container: Container) -> None:
    told = container.status()
    assert told["Uid"].split() == told["Gid"].split() == ["10001"] * 4
    assert {int(told[each], 16) for each in ("CapPrm", "CapEff", "CapBnd", "CapInh")} == {0}
    assert told["NoNewPrivs"] == "1"
    mounts = Path(f"/proc/{container.pid}/mounts").read_text().splitlines()
    [root] = [each.split()[3] for each in mounts if each.split()[1] == "/"]
    assert "ro" in root.split(",")


def test_its_log_is_of_lines_and_has_no_warning(container: Container) -> None:
    events = container.events()
    warnings = {each["event"] for each in events if each["level"] not in ("info", "debug")}
    assert warnings <= {"slow to load"}  # this machine may be
    assert "serving" in {each["event"] for each in events}


def test_exported_graphs_are_kept_in_the_volume(container: Container) -> None:
    assert list((container.volumes["cache"] / "graphs").rglob("*.onnx"))


def test_only_the_volumes_can_be_written_to(tmp_path: Path) -> None:
    with started(pod("cpu"), tmp_path, command=["python", "-c", TRIES]) as container:
        assert container.process.wait(60) == 0
    assert container.log.read_text().split() == ["/tmp/", "/var/cache/fanlight/"]


def kserve(folder: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    """The pod of the ServingRuntime, and what KServe mounts: one version, without its folders."""
    shutil.copytree(SHIPPED / "mnist-cnn" / "1", folder)
    return only(rendered(RUNTIME), "ServingRuntime")["spec"], {"/mnt/models": folder}


@pytest.mark.thorough
def test_the_runtime_of_kserve_answers_its_protocol(tmp_path: Path) -> None:
    """Also beside a Service whose variables begin as our settings do."""
    spec, mounted = kserve(tmp_path / "models")
    variables = links("fanlight", 80) | links("fanlight-predictor", 80)
    with started(spec, tmp_path / "pod", mounted, variables) as container:
        container.until_ready()
        assert container.passes("livenessProbe")
        answer = container.answer("GET", "/v2/models/mnist-cnn", 8080)
        assert answer is not None
        assert answer.json()["versions"] == ["1"]
        predicted = container.answer("POST", "/v1/models/mnist-cnn/predict", 8080, DIGIT)
        assert predicted is not None
        assert predicted.json()["predictions"][0]["label"] == "7"
    assert "service_links_ignored" in {each["event"] for each in container.events()}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["cpu", "kserve"])
def test_it_ends_within_its_grace_and_answers_meanwhile(kind: str, tmp_path: Path) -> None:
    """Readiness fails at once, liveness does not; then it ends by itself."""
    spec, mounted = kserve(tmp_path / "models") if kind == "kserve" else (pod(kind), {})
    [manifest] = spec["containers"]
    with started(spec, tmp_path / "pod", mounted) as container:
        container.until_ready()
        began = time.monotonic()
        container.terminate()
        while container.passes("readinessProbe"):
            assert time.monotonic() < began + 5
        assert container.passes("livenessProbe")
        port = manifest["ports"][0]["containerPort"]
        answer = container.answer("POST", "/v1/models/mnist-cnn/predict", port, DIGIT)
        assert answer is not None
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        # 30 s is what Kubernetes gives where nobody says
        assert container.process.wait(spec.get("terminationGracePeriodSeconds", 30)) == 0
