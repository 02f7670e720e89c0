"""Variables with our prefix that are no settings: of Kubernetes, of Docker, and misspelt ones."""

import os

import pytest
from structlog.testing import capture_logs

from service.setting_values import environment
from service.settings import Settings

# what Kubernetes sets for Services called fanlight, with a port called http, and fanlight-gpu
KUBERNETES = {
    "FANLIGHT_SERVICE_HOST": "10.96.0.12",
    "FANLIGHT_SERVICE_PORT": "8000",
    "FANLIGHT_SERVICE_PORT_HTTP": "8000",
    "FANLIGHT_PORT": "tcp://10.96.0.12:8000",
    "FANLIGHT_PORT_8000_TCP": "tcp://10.96.0.12:8000",
    "FANLIGHT_PORT_8000_TCP_PROTO": "tcp",
    "FANLIGHT_PORT_8000_TCP_PORT": "8000",
    "FANLIGHT_PORT_8000_TCP_ADDR": "10.96.0.12",
    "FANLIGHT_GPU_SERVICE_HOST": "10.96.0.13",
    "FANLIGHT_GPU_SERVICE_PORT": "53",
    "FANLIGHT_GPU_PORT": "udp://10.96.0.13:53",
    "FANLIGHT_GPU_PORT_53_UDP": "udp://10.96.0.13:53",
}
DOCKER = {"FANLIGHT_NAME": "/proxy/fanlight", "FANLIGHT_ENV_PATH": "/usr/bin"}


def test_links_are_known_by_name_and_value() -> None:
    assert environment.service_links(KUBERNETES | DOCKER) == sorted(KUBERNETES | DOCKER)


@pytest.fixture(autouse=True)
def nothing_was_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.REPORTED, "")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_no_setting_is_taken_for_a_link(name: str) -> None:
    for value in ("8000", "/models", "auto", "10.0.0.1"):
        assert not environment.is_service_link(environment.PREFIX + name.upper(), value)


def test_settings_ignore_links(monkeypatch: pytest.MonkeyPatch) -> None:
    without = Settings()
    for name, value in (KUBERNETES | DOCKER).items():
        monkeypatch.setenv(name, value)
    assert Settings() == without
    assert Settings(port=9000).port == 9000


def test_a_port_of_ours_counts_beside_links(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (KUBERNETES | {"FANLIGHT_PORT": "9000"}).items():
        monkeypatch.setenv(name, value)
    assert Settings().port == 9000


def test_links_are_logged_once_and_not_as_misspelt(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KUBERNETES.items():
        monkeypatch.setenv(name, value)
    with capture_logs() as logged:
        environment.report(Settings.model_fields)
        environment.report(Settings.model_fields)  # as in a worker
    assert [line["event"] for line in logged] == ["service_links_ignored"]
    assert logged[0]["variables"] == sorted(KUBERNETES)
    assert os.environ["FANLIGHT_PORT"] == KUBERNETES["FANLIGHT_PORT"]


@pytest.mark.parametrize(("key", "events"), [("", ["empty_variable"]), ("secret", [])])
def test_an_empty_key_is_logged(
    key: str, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FANLIGHT_API_KEY", key)
    monkeypatch.delenv("FANLIGHT_DATA", raising=False)
    with capture_logs() as logged:
        environment.report(Settings.model_fields)
    assert [line["event"] for line in logged] == events


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("FANLIGHT_PROT", "FANLIGHT_PORT"),
        ("FANLIGHT_MAX_BATCHSIZE", "FANLIGHT_MAX_BATCH_SIZE"),
        ("FANLIGHT_APIKEY", "FANLIGHT_API_KEY"),
        ("FANLIGHT_ZZZ", None),
    ],
)
def test_a_misspelt_variable_has_the_nearest(name: str, near: str | None) -> None:
    variables = {name: "1", "FANLIGHT_HOST": "::", "FANLIGHT_DATA": "data", "PROT": "1"}
    assert environment.unknown(variables, Settings.model_fields) == {name: near}


@pytest.mark.parametrize(
    "name", ["FANLGHT_PORT", "FAN_LIGHT_PORT", "Fanlights_port", "FANLIGHTPORT"]
)
def test_a_misspelt_prefix_has_the_right_one(name: str) -> None:
    others = {"LIGHT_PORT": "1", "FAN_PORT": "1", "FANLGHT_NEWS": "1", "FLASHLIGHT_PORT": "1"}
    found = environment.unknown({name: "1", **others}, Settings.model_fields)
    assert found == {name: "FANLIGHT_PORT"}


def test_a_misspelt_variable_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FANLIGHT_DATA", raising=False)
    monkeypatch.setenv("FANLIGHT_PROT", "9000")
    with capture_logs() as logged:
        environment.report(Settings.model_fields)
    assert logged == [
        {
            "event": "unknown_variable",
            "log_level": "warning",
            "name": "FANLIGHT_PROT",
            "did_you_mean": "FANLIGHT_PORT",
        }
    ]
