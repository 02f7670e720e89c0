"""docker-compose.yml and its profiles: hardened, whole, and pointing at files that there are."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.container import dockerfile
from service.setting_values.units import parse_seconds
from service.settings import Settings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
COMPOSE = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", FILE.read_text()))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
FANLIGHT = ("fanlight", "gpu", "replica-1", "replica-2")
PROFILES = ("replicas", "gpu", "monitoring")
BAKE = json.loads((ROOT / "deploy" / "container" / "bake.json").read_text())
STAGES = dockerfile.parse((ROOT / "Dockerfile").read_text()).stages


ALONE = [pytest.param((each,), marks=pytest.mark.thorough) for each in PROFILES]


@pytest.mark.slow
@pytest.mark.parametrize("profiles", [(), *ALONE, PROFILES], ids=str)
@pytest.mark.parametrize("command", [["docker", "compose"], ["docker-compose"]], ids=" ".join)
def test_compose_takes_every_profile(command: list[str], profiles: tuple[str, ...]) -> None:
    version = [*command, "version"]
    if not shutil.which(command[0]) or subprocess.run(version, capture_output=True).returncode:
        pytest.skip(f"{' '.join(command)} is not installed")
    chosen = [word for each in profiles for word in ("--profile", each)]
    check = [*command, "-f", str(FILE), *chosen, "config"]
    result = subprocess.run(check, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    found = yaml.safe_load(result.stdout)["services"]
    of_profiles = {
        name for name, each in SERVICES.items() if {*each.get("profiles", ())} & {*profiles}
    }
    assert {"fanlight", *of_profiles} <= set(found)


def test_every_profile_is_told_at_the_top() -> None:
    assert {each for one in SERVICES.values() for each in one.get("profiles", ())} == {*PROFILES}
    head = FILE.read_text().partition("\n\n")[0]
    assert all(f"--profile {each}" in head for each in PROFILES)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_hardened(name: str) -> None:
    found = SERVICES[name]
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["pids_limit"] > 0
    assert not {"privileged", "cap_add", "network_mode", "pid"} & set(found)
    user = found["user"] if name not in FANLIGHT else steps("USER")[0]
    assert int(user.partition(":")[0]) > 0
    for port in found.get("ports", ()):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", FANLIGHT)
def test_an_instance_is_given_the_time_to_end(name: str) -> None:
    defaults = Settings.model_fields
    longest = defaults["shutdown_grace"].default + 2 * defaults["request_timeout"].default
    assert float(str(parse_seconds(SERVICES[name]["stop_grace_period"]))) >= longest + 10


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_there_and_only_volumes_can_be_written(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        if isinstance(volume, dict):
            source, is_read_only = volume["source"], volume["read_only"]
        else:
            source, _, *options = volume.split(":")
            is_read_only = options == ["ro"]
        if source.startswith("."):
            assert (ROOT / source).exists()
            assert is_read_only
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", FANLIGHT)
def test_variables_are_settings(name: str) -> None:
    for each in SERVICES[name]["environment"]:
        assert each.removeprefix("FANLIGHT_").lower() in Settings.model_fields
    proxies = SERVICES[name]["environment"].get("FANLIGHT_TRUSTED_PROXIES", "")
    assert len(Settings(trusted_proxies=proxies).trusted_proxies) == (
        2 if name.startswith("replica") else 0
    )


def steps(name: str) -> list[str]:
    """The texts of the image's own steps of a kind."""
    return [each.text for each in STAGES["image"].steps if each.name == name]


def test_graphs_are_kept_where_a_volume_is_mounted() -> None:
    variables = dockerfile.assignments(steps("ENV")[0], {})
    folder = variables["FANLIGHT_GRAPH_CACHE"]
    assert f"graphs:{folder}" in SERVICES["fanlight"]["volumes"]
    assert f"--owner=fanlight --mode=0700 {folder}" in steps("RUN")[0]


def test_the_image_is_the_last_stage_and_is_labelled() -> None:
    assert [*STAGES][-1] == "image"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = dockerfile.assignments(steps("LABEL")[0], {"BASE": "a-base"})
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}version"] == project["version"]
    assert labels[f"{prefix}licenses"] == project["license"]
    assert labels[f"{prefix}base.name"] == "a-base"


def test_bake_builds_what_the_dockerfile_has() -> None:
    dockerfile_arguments = {"BASE", "REMOTE", "TORCH_INDEX"}
    targets = BAKE["target"]
    for name, target in targets.items():
        assert {*target.get("args", {})} <= dockerfile_arguments
        assert target.get("target", "image") in STAGES
        assert all(each in targets for each in target.get("inherits", ())), name
    named = {each for group in BAKE["group"].values() for each in group["targets"]}
    assert named <= set(targets)
    used = set(re.findall(r"\$\{(\w+)\}", json.dumps(BAKE["target"])))
    assert used == set(BAKE["variable"])


def test_defaults_are_told_alike_wherever_they_stand() -> None:
    parsed = dockerfile.parse((ROOT / "Dockerfile").read_text())
    base = parsed.arguments["BASE"]
    assert BAKE["variable"]["BASE"]["default"] == base
    assert SERVICES["fanlight"]["build"]["args"]["BASE"] == base
    index = STAGES["torch"].steps[0].text.partition("=")[2]
    assert BAKE["target"]["cpu"]["args"]["TORCH_INDEX"] == index
    assert SERVICES["fanlight"]["build"]["args"]["TORCH_INDEX"] == index
    cuda = BAKE["target"]["cuda"]["args"]["TORCH_INDEX"]
    assert SERVICES["gpu"]["build"]["args"]["TORCH_INDEX"] == cuda


def test_prometheus_finds_every_instance_by_its_alias() -> None:
    found = yaml.safe_load((ROOT / "deploy" / "prometheus" / "compose.yml").read_text())
    [job] = found["scrape_configs"]
    [asked] = job["dns_sd_configs"]
    assert asked["port"] == Settings.model_fields["port"].default
    for name in FANLIGHT:
        assert SERVICES[name]["networks"]["default"]["aliases"] == asked["names"]
    alone = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    assert found["rule_files"] == alone["rule_files"]
    assert job["job_name"] == alone["scrape_configs"][0]["job_name"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH")
def test_prometheus_takes_its_file() -> None:
    file = ROOT / "deploy" / "prometheus" / "compose.yml"
    checked = subprocess.run(["promtool", "check", "config", file], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_grafana_is_given_the_source_and_the_dashboard() -> None:
    folder = ROOT / "deploy" / "grafana" / "provisioning"
    [source] = yaml.safe_load((folder / "datasources" / "fanlight.yml").read_text())["datasources"]
    assert source["url"] == f"http://prometheus:{SERVICES['prometheus']['ports'][0].split(':')[-1]}"
    [provider] = yaml.safe_load((folder / "dashboards" / "fanlight.yml").read_text())["providers"]
    mounted = [volume.split(":") for volume in SERVICES["grafana"]["volumes"]]
    places = {target: source for source, target, *_ in mounted}
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert places[home] == "./deploy/grafana/fanlight.json"
    assert Path(home).parent == Path(provider["options"]["path"])
