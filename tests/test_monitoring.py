"""What stands under deploy/ for Prometheus and Grafana, tried with a real Prometheus."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml
from fastapi.routing import APIRoute

from deploy.grafana import dashboard
from service.routes import routers
from tests.e2e.servers import Server, free_port, running
from tests.networks import DATA
from tests.waiting import until

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[1] / "deploy" / "prometheus"
ALERTS = FOLDER / "alerts.yml"
DIGIT = (DATA / "digits" / "7.png").read_bytes()
needs = {
    name: pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not on PATH")
    for name in ("prometheus", "promtool")
}


def rules() -> dict[str, dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def expressions() -> list[str]:
    """Those of all panels."""
    return [each for *_, found in dashboard.PANELS for each in found.values()]


def test_the_dashboard_is_the_one_that_is_written() -> None:
    written = json.loads(dashboard.FILE.read_text())
    assert written == dashboard.dashboard()


def test_grafana_s_own_types_read_the_dashboard() -> None:
    """As Grafana's SDK for Python has them, which are made from its schemas."""
    sdk = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    found = sdk.Dashboard.from_json(dashboard.dashboard())
    assert found.title == "Fanlight"
    assert [panel.title for panel in found.panels] == [title for title, *_ in dashboard.PANELS]
    assert {panel.type_val for panel in found.panels} == {"timeseries"}
    assert [each.name for each in found.templating.list_val] == ["source", "instance", "model"]
    places = [(panel.grid_pos.x, panel.grid_pos.y) for panel in found.panels]
    assert len(set(places)) == len(places)


@needs["promtool"]
@pytest.mark.parametrize(
    ("what", "file"),
    [("rules", "alerts.yml"), ("rules", "drift.yml"), ("config", "prometheus.yml")],
)
def test_promtool_finds_nothing(what: str, file: str) -> None:
    checked = subprocess.run(
        ["promtool", "check", what, file], cwd=FOLDER, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr


FIRING = {  # series of two hours, a value a minute
    "FanlightDown": ['up{job="fanlight", instance="a"}: 0x120'],
    "FanlightModelFailed": ['fanlight_model_failed{instance="a", model="m", version="1"}: 1x120'],
    "FanlightModelChanged": ['fanlight_model_changed{instance="a", model="m", version="1"}: 1x120'],
    "FanlightSlowRuntime": [
        'fanlight_runtime_fallback{instance="a", model="m", version="1"}: 1x120'
    ],
    "FanlightErrors": [
        *(
            f'fanlight_request_seconds_count{{instance="a", operation="predict", {each}x120'
            for each in (
                'model="m", status="200"}: 0+60',
                'model="m", status="500"}: 0+2',
                'model="n", status="200"}: 0+6000',  # does not hide it
            )
        ),
    ],
    "FanlightOverloaded": [
        'fanlight_refused_requests_total{instance="a", reason="queue-full"}: 0+120x120'
    ],
    "FanlightSlowPredictions": [
        *(
            f'fanlight_answer_seconds_bucket{{instance="a", operation="v2_infer", {each}x120'
            for each in (
                'model="m", le="1"}: 0+50',
                'model="m", le="2.5"}: 0+60',
                'model="m", le="+Inf"}: 0+60',
                'model="n", le="1"}: 0+6000',  # does not hide it
                'model="n", le="+Inf"}: 0+6000',
            )
        ),
    ],
    "FanlightBrokenNetwork": [
        'fanlight_not_finite_images_total{instance="a", model="m", version="1"}: 0+1x120'
    ],
    "FanlightLogLost": ['fanlight_log_lines_lost_total{instance="a"}: 0+1x120'],
}
QUIET = [  # what a service tells that is well
    'up{job="fanlight", instance="a"}: 1x120',
    'fanlight_model_failed{instance="a", model="m", version="1"}: 0x120',
    'fanlight_model_changed{instance="a", model="m", version="1"}: 0x120',
    'fanlight_runtime_fallback{instance="a", model="m", version="1"}: 0x120',
    'fanlight_request_seconds_count{instance="a", operation="predict", status="200"}: 0+600x120',
    'fanlight_request_seconds_count{instance="a", operation="predict", status="422"}: 0+60x120',
    'fanlight_request_seconds_count{instance="a", operation="ready", status="503"}: 0+60x120',
    'fanlight_refused_requests_total{instance="a", reason="queue-full"}: 0+6x120',
    'fanlight_answer_seconds_bucket{instance="a", operation="predict", le="1"}: 0+60x120',
    'fanlight_answer_seconds_bucket{instance="a", operation="predict", le="+Inf"}: 0+60x120',
    'fanlight_answer_seconds_bucket{instance="a", operation="explain", le="1"}: 0x120',
    'fanlight_answer_seconds_bucket{instance="a", operation="explain", le="+Inf"}: 0+600x120',
    'fanlight_request_seconds_bucket{instance="a", operation="predict", le="1"}: 0x120',
    'fanlight_request_seconds_bucket{instance="a", operation="predict", le="+Inf"}: 0+60x120',
    'fanlight_not_finite_images_total{instance="a", model="m", version="1"}: 3x120',
    'fanlight_log_lines_lost_total{instance="a"}: 5x120',
]


def test_latency_is_that_of_every_way_to_a_prediction() -> None:
    known = {
        str(each.operation_id)
        for router in routers()
        for each in router.routes
        if isinstance(each, APIRoute)
    }
    ways = {each for each in known if re.fullmatch(dashboard.PREDICTIONS, each)}
    assert ways == {
        *("predict", "v2_infer", "v2_infer_version", "invocations"),
        *("tensorflow_predict", "tensorflow_version"),
        *("torchserve_predictions", "torchserve_version"),
        *("torchserve_put", "torchserve_put_version"),
    }
    asked = [rules()["FanlightSlowPredictions"]["expr"]]
    asked += [each for each in expressions() if "quantile" in each]
    assert len(asked) == 4
    assert all(f'operation=~"{dashboard.PREDICTIONS}"' in each for each in asked)


def test_each_alert_has_its_case() -> None:
    assert FIRING.keys() == rules().keys()


@needs["promtool"]
@pytest.mark.parametrize("alert", [*FIRING, None])
def test_an_alert_fires_alone(alert: str | None, tmp_path: Path) -> None:
    """Beside none of the others; of a service that is well, none does."""
    series = FIRING[alert] if alert else QUIET
    asked = []
    for name, rule in rules().items():
        told: dict[str, Any] = {"eval_time": "1h30m", "alertname": name, "exp_alerts": []}
        if name == alert:
            labels = re.findall(r'(instance|model|version|job)="(.+?)"', series[0])
            known = {key: value for key, value in labels if key != "job" or "up" in series[0]}
            told["exp_alerts"] = [{"exp_labels": {**rule["labels"], **known}}]
        asked.append(told)
    for told in asked:  # texts are not compared
        for each in told["exp_alerts"]:
            each["exp_annotations"] = annotations(rules()[told["alertname"]], alert, each)
    test = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    dict(zip(("series", "values"), each.rsplit(": ", 1), strict=True))
                    for each in series
                ],
                "alert_rule_test": asked,
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr + done.stdout


VALUES = {
    "FanlightErrors": "3.226%",
    "FanlightOverloaded": "2",
    "FanlightSlowPredictions": "2.05s",
}


def annotations(rule: dict[str, Any], alert: str | None, told: dict[str, Any]) -> dict[str, str]:
    """The texts of a rule with these labels, and the value that the series above give."""

    def filled(text: str) -> str:
        text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda m: told["exp_labels"][m[1]], text)
        return re.sub(r"\{\{ \$value \| \w+ \}\}", VALUES.get(str(alert), ""), text)

    return {name: filled(text) for name, text in rule["annotations"].items()}


@contextmanager
def scraping(folder: Path, target: str) -> Iterator[str]:
    """The address of a Prometheus that asks the target every second, with the rules of deploy/."""
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    config["rule_files"] = [str(FOLDER / each) for each in config["rule_files"]]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    arguments = [
        "prometheus",
        "--config.file=prometheus.yml",
        f"--web.listen-address=127.0.0.1:{port}",
        "--storage.tsdb.path=data",
    ]
    with (
        (folder / "prometheus.log").open("wb") as log,
        subprocess.Popen(arguments, cwd=folder, stdout=log, stderr=log) as process,
    ):
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def query(prometheus: str, expression: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": expression}, timeout=10)
    told = answer.json()
    assert told["status"] == "success", (expression, told)
    found: list[dict[str, Any]] = told["data"]["result"]
    return found


def asked(expression: str) -> str:
    """As Grafana asks, for everything."""
    for name, value in {"$instance": ".*", "$model": ".*", "$__rate_interval": "10s"}.items():
        expression = expression.replace(name, value)
    return expression


def put_load_on(server: Server) -> None:
    with httpx.Client(base_url=server.url) as client:
        for _ in range(30):
            assert client.post("/v1/models/mnist/predict", content=DIGIT).status_code == 200
        assert client.post("/v1/models/mnist/predict", content=b"no image").status_code == 415


@needs["prometheus"]
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.thorough
def test_a_real_prometheus_has_something_for_every_panel(workers: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        running(log, "--device", "cpu", "--workers", workers) as server,
        scraping(tmp_path, server.url.removeprefix("http://")) as prometheus,
    ):

        def is_scraped() -> bool:
            put_load_on(server)
            try:
                told = query(prometheus, asked(expressions()[0]))
            except httpx.TransportError:
                return False
            return any(float(each["value"][1]) > 0 for each in told)

        until(is_scraped, 60)
        empty = {each for each in expressions() if not query(prometheus, asked(each))}
        # nothing was refused, and no connection was ended
        assert empty == {
            each for each in expressions() if "refused_requests" in each or "ended" in each
        }
        [latency] = query(prometheus, asked(expressions()[3]))
        assert 0 < float(latency["value"][1]) < 5

        def health() -> dict[str, str]:
            told = httpx.get(f"{prometheus}/api/v1/rules", timeout=10).json()["data"]["groups"]
            return {
                rule["name"]: rule["health"]
                for group in told
                if group["name"] == "fanlight-service"
                for rule in group["rules"]
            }

        until(lambda: health() == dict.fromkeys(rules(), "ok"), 30)


def test_every_figure_is_one_of_the_service(tmp_path: Path) -> None:
    """Those of process_… are of the official client."""
    script = (
        "from service.monitoring.metrics import Metrics; print(Metrics().exposition().decode())"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    known = set(re.findall(r"# TYPE (\w+)", told))
    named = set(
        re.findall(
            r"\b(fanlight_\w+|process_\w+)",
            " ".join([*expressions(), *(rule["expr"] for rule in rules().values())]),
        )
    )
    bare = {re.sub(r"_(bucket|sum|count)$", "", each) for each in named}
    assert bare <= known
