"""The manifests fit the schemas of Kubernetes, the service's settings, and each other."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.monitoring.metrics import Metrics
from service.setting_values.environment import unknown
from service.settings import Settings
from tests.kubernetes import manifests
from tests.kubernetes.manifests import (
    FOLDER,
    OVERLAYS,
    RUNTIME,
    Manifest,
    needs_kubectl,
    only,
    overlay,
    pod,
    rendered,
)

pytestmark = [pytest.mark.slow, needs_kubectl]

ROOT = FOLDER.parents[1]
OLDEST, NEWEST = "1.27", "1.37"  # of Kubernetes; docs/deploy.md names the oldest
CUSTOM = {"ServiceMonitor", "ScaledObject"}  # see test_custom_resources.py
GRACE = 30  # seconds that Kubernetes gives where nobody says


def runtime() -> Manifest:
    found: Manifest = only(rendered(RUNTIME), "ServingRuntime")["spec"]
    return found


def pods() -> dict[str, Manifest]:
    """The specifications of all pods, by overlay."""
    return {**{name: pod(name) for name in OVERLAYS}, "kserve": runtime()}


def rights(spec: Manifest) -> Manifest:
    """The security context of the only container, with what it has of its pod's."""
    [container] = spec["containers"]
    return {**spec.get("securityContext", {}), **container["securityContext"]}


def variables(spec: Manifest) -> dict[str, str]:
    [container] = spec["containers"]
    return {each["name"]: each["value"] for each in container["env"]}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", OVERLAYS)
def test_objects_fit_the_schemas(name: str, version: str, tmp_path: Path) -> None:
    further = manifests.with_components(tmp_path, "models", "keys") if name == "cpu" else ()
    objects = [*overlay(name), *further]
    checked = [each for each in objects if each["kind"] not in CUSTOM]
    assert len(checked) >= 4
    for each in checked:
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_pod_of_the_runtime_fits_the_schema(version: str) -> None:
    spec = {each: runtime()[each] for each in ("containers", "volumes")}
    whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "runtime"}, "spec": spec}
    kubernetes_validate.validate(whole, version, strict=True)


def test_a_misspelt_field_does_not_fit() -> None:
    deployment = only(overlay("cpu"), "Deployment")
    wrong = {**deployment, "spec": {**deployment["spec"], "revisionHistroyLimit": 3}}
    with pytest.raises(kubernetes_validate.ValidationError, match="revisionHistroyLimit"):
        kubernetes_validate.validate(wrong, NEWEST, strict=True)


def test_pods_keep_the_restricted_standard() -> None:
    """As Kubernetes' Pod Security Standards have it, and a disk that is read-only."""
    for name, spec in pods().items():
        found = rights(spec)
        assert found["runAsNonRoot"] is found["readOnlyRootFilesystem"] is True, name
        assert found["allowPrivilegeEscalation"] is False
        assert found["capabilities"] == {"drop": ["ALL"]}
        assert found["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        kinds = {key for volume in spec["volumes"] for key in volume} - {"name"}
        assert kinds == {"emptyDir"}


def test_pods_run_as_the_user_of_the_image() -> None:
    [user] = re.findall(r"^USER (\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {rights(spec)["runAsUser"] for spec in pods().values()} == {int(user)}


def test_images_have_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {name: spec["containers"][0]["image"] for name, spec in pods().items()}
    assert images.pop("gpu") == f"fanlight:{version}-cuda"
    assert set(images.values()) == {f"fanlight:{version}"}


def settings(spec: Manifest, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those that the variables of the pod give."""
    with monkeypatch.context() as patched:
        for name, value in variables(spec).items():
            patched.setenv(name, value)
        return Settings()


def test_variables_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for spec in pods().values():
        assert unknown(variables(spec), Settings.model_fields) == {}
        settings(spec, monkeypatch)
    assert settings(pod("gpu"), monkeypatch).device == "cuda"


def test_pods_have_the_time_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, spec in pods().items():
        found = settings(spec, monkeypatch)
        longest = found.shutdown_grace + 2 * found.request_timeout
        given = spec.get("terminationGracePeriodSeconds", GRACE)
        assert longest + (2 if name == "kserve" else 10) <= given, name
        assert "lifecycle" not in spec["containers"][0]  # a preStop hook would take of that time


def test_ports_are_those_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for spec in pods().values():
        found, [container] = settings(spec, monkeypatch), spec["containers"]
        open_ports = [each["containerPort"] for each in container["ports"]]
        assert open_ports == [each for each in (found.port, found.metrics_port) if each]


def test_no_variables_of_services_come_into_the_pods() -> None:
    """Those of a Service named fanlight read like settings."""
    assert all(pod(name)["enableServiceLinks"] is False for name in OVERLAYS)
    example = yaml.safe_load((RUNTIME / "mnist-cnn.yaml").read_text())
    assert example["spec"]["predictor"]["enableServiceLinks"] is False


@pytest.mark.parametrize("name", OVERLAYS)
def test_selectors_select_the_pods_and_nothing_else(name: str) -> None:
    """An empty selector of a NetworkPolicy would cut off all pods of the namespace."""
    objects = overlay(name)
    deployment, service = only(objects, "Deployment"), only(objects, "Service")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels
    assert deployment["spec"]["selector"] == {"matchLabels": labels}
    assert service["spec"]["selector"] == labels
    assert only(objects, "PodDisruptionBudget")["spec"]["selector"] == {"matchLabels": labels}
    assert only(objects, "NetworkPolicy")["spec"]["podSelector"] == {"matchLabels": labels}
    monitor = only(objects, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()


@pytest.mark.parametrize("name", OVERLAYS)
def test_names_of_ports_are_those_of_the_container(name: str) -> None:
    objects = overlay(name)
    ports = {each["name"] for each in pod(name)["containers"][0]["ports"]}
    offered = only(objects, "Service")["spec"]["ports"]
    rules = only(objects, "NetworkPolicy")["spec"]["ingress"]
    assert {each["targetPort"] for each in offered} == ports
    assert {each["port"] for rule in rules for each in rule["ports"]} == ports
    [endpoint] = only(objects, "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["port"] in {each["name"] for each in offered}


def test_the_alerts_find_the_job() -> None:
    """The operator names a job after its Service."""
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()
    jobs = set(re.findall(r'job="(\w+)"', alerts))
    assert jobs == {only(overlay("cpu"), "Service")["metadata"]["name"]}


@pytest.mark.parametrize("name", OVERLAYS)
def test_one_autoscaler_sets_the_replicas(name: str) -> None:
    objects = overlay(name)
    deployment = only(objects, "Deployment")
    assert "replicas" not in deployment["spec"]
    scalers = {"HorizontalPodAutoscaler", "ScaledObject"}
    [scaler] = [each for each in objects if each["kind"] in scalers]
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert (scaler["kind"] == "ScaledObject") == (scaler["spec"].get("minReplicaCount") == 0)


def figures() -> set[str]:
    return {each.name for each in Metrics().described()}


def test_autoscalers_ask_for_a_figure_that_there_is() -> None:
    assert "fanlight_queue_images" in figures()
    for name in ("cpu", "gpu"):
        asked = only(overlay(name), "HorizontalPodAutoscaler")["spec"]["metrics"]
        kinds = {each["type"] for each in asked}
        assert kinds == {"Pods", "Resource"} if name == "cpu" else {"Pods"}
        assert asked[0]["pods"]["metric"]["name"] == "fanlight_queue_images"
        threshold = asked[0]["pods"]["target"]["averageValue"]
        assert int(threshold) == Settings().max_batch_size / 2
    waiting, _ = triggers()
    assert waiting["threshold"] == threshold


def triggers() -> list[dict[str, str]]:
    """The metadata of KEDA's triggers."""
    found = only(overlay("cpu-to-zero"), "ScaledObject")["spec"]["triggers"]
    return [each["metadata"] for each in found]


ADAPTER = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
PODS = 'job="fanlight", namespace="default"'
INGRESS = 'exported_namespace="default", ingress="fanlight"'
SERIES = {  # values every 5 s, for a minute
    f'fanlight_queue_images{{{PODS}, pod="a", model="m", version="1"}}': "0 0 0 0 0 0 0 0 40 0 0 0",
    f'fanlight_queue_images{{{PODS}, pod="a", model="n", version="1"}}': "2x12",
    f'fanlight_queue_images{{{PODS}, pod="b", model="m", version="1"}}': "5x12",
    'fanlight_queue_images{job="fanlight", namespace="other", pod="c", model="m"}': "900x12",
    f"nginx_ingress_controller_requests{{{INGRESS}}}": "0+15x12",
}


def adapters_query() -> str:
    """The adapter's query for the pods of a namespace, as it fills its template."""
    [rule] = ADAPTER
    query = str(rule["metricsQuery"]).replace("<<.Series>>", rule["name"]["as"])
    query = query.replace("<<.LabelMatchers>>", 'namespace="default", pod=~"a|b"')
    return query.replace("<<.GroupBy>>", "pod")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH")
@pytest.mark.parametrize("is_running", [True, False])
def test_queries_sum_what_waits(is_running: bool, tmp_path: Path) -> None:
    """By pod for the adapter, of all pods for KEDA; without a pod the ingress alone is heard."""
    waiting, requests = triggers()

    def samples(**values: float) -> list[dict[str, Any]]:
        return [{"labels": f'{{pod="{pod}"}}', "value": value} for pod, value in values.items()]

    expected = {
        adapters_query(): samples(a=42, b=5) if is_running else [],
        waiting["query"]: [{"labels": "{}", "value": 47}] if is_running else [],
        requests["query"]: [{"labels": "{}", "value": 3}],
    }
    series = [
        {"series": name, "values": values}
        for name, values in SERIES.items()
        if is_running or "ingress" in name
    ]
    tests = [
        {"expr": query, "eval_time": "1m", "exp_samples": found}
        for query, found in expected.items()
    ]
    test = {"interval": "5s", "input_series": series, "promql_expr_test": tests}
    (tmp_path / "test.yml").write_text(yaml.safe_dump({"tests": [test]}))
    command = ["promtool", "test", "rules", "test.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_first_pod_is_woken_by_any_request() -> None:
    _, requests = triggers()
    assert "fanlight_" not in requests["query"]  # without a pod nobody tells these
    assert float(requests["activationThreshold"]) == 0


def test_the_runtime_is_as_kserve_has_it() -> None:
    spec = runtime()
    [container] = spec["containers"]
    assert container["name"] == "kserve-container"
    assert container["args"] == ["--repository", "/mnt/models"]
    assert spec["protocolVersions"] == ["v2"]
    [port] = container["ports"]
    assert spec["annotations"]["prometheus.kserve.io/port"] == str(port["containerPort"])
    example = yaml.safe_load((RUNTIME / "mnist-cnn.yaml").read_text())["spec"]["predictor"]["model"]
    formats = {each["name"]: each for each in spec["supportedModelFormats"]}
    assert formats[example["modelFormat"]["name"]]["autoSelect"] is True
    assert example["protocolVersion"] in spec["protocolVersions"]
