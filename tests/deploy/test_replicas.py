"""nginx before two instances, with the file that docker-compose.yml mounts."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2 as httpx
import pytest
import yaml

from service.app import create_app
from service.settings import Settings
from tests.e2e.servers import free_port, in_thread
from tests.networks import encode, picture, publish_tiny
from tests.waiting import until

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "nginx"
SITE = (FOLDER / "replicas.conf").read_text()
REPLICAS = ("replica-1:8000", "replica-2:8000")
IMAGE = encode(picture(1))
SAME = re.compile(
    r"(?:proxy_(?!pass|temp)\w+|client_max_body_size) [^;]+;|location [^{]+\{|map .*\{"
)


class Replicas(NamedTuple):
    proxy: str  # its address
    addresses: list[str]  # of the two instances
    stops: list[ExitStack]  # ends an instance


def test_it_passes_on_what_the_other_file_does() -> None:
    """But for TLS and the number of instances."""
    other = (FOLDER / "fanlight.conf").read_text()
    assert SAME.findall(SITE) == SAME.findall(other)
    assert len(SAME.findall(SITE)) == 12


def test_it_asks_the_replicas_of_compose_and_writes_below_tmp() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    servers = re.findall(r"server ([\w-]+):8000;", SITE)
    assert servers == [each.partition(":")[0] for each in REPLICAS]
    assert set(services["nginx"]["depends_on"]) == set(servers)
    port = re.findall(r"listen (\d+);", SITE)
    assert [each.rpartition(":")[2] for each in services["nginx"]["ports"]] == port
    paths = re.findall(r"^\s*(?:pid|\w+_temp_path) (\S+);", SITE, re.MULTILINE)
    assert len(paths) == 6
    assert all(path.startswith("/tmp/") for path in paths)


@contextmanager
def replicas(folder: Path) -> Iterator[Replicas]:
    """Two instances in threads, and a real nginx before them."""
    publish_tiny(folder / "models")
    settings = Settings(
        repository=(folder / "models",), device="cpu", trusted_proxies=("127.0.0.1",)
    )
    port = free_port()
    site = SITE.replace("/tmp/", f"{folder}/").replace("listen 8080", f"listen 127.0.0.1:{port}")
    with ExitStack() as stack:
        addresses, stops = [], []
        for name in REPLICAS:
            stops.append(stack.enter_context(ExitStack()))
            addresses.append(stops[-1].enter_context(in_thread(create_app(settings))))
            assert name in site
            site = site.replace(name, addresses[-1].removeprefix("http://"))
        (folder / "nginx.conf").write_text(site)
        command = ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
        log = stack.enter_context((folder / "log").open("wb"))
        process = stack.enter_context(subprocess.Popen([*command, "-g", "daemon off;"], stderr=log))
        stack.callback(process.terminate)
        found = Replicas(f"http://127.0.0.1:{port}", addresses, stops)
        until(lambda: is_up(found.proxy))
        yield found


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.ConnectError:
        return False


def predictions(url: str) -> float:
    """The number of answers that an instance has given, by its own figures."""
    found = re.findall(
        r"^fanlight_predict_requests_total\{.*\} (\S+)$", httpx.get(f"{url}/metrics").text, re.M
    )
    return sum(map(float, found))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not on PATH")
def test_both_answer_and_one_may_end(tmp_path: Path) -> None:
    with replicas(tmp_path) as found, httpx.Client(base_url=found.proxy) as client:
        ask = "/v1/models/colors/predict"
        headers = {"Content-Type": "image/png", "X-Request-ID": "mine"}
        answers = [client.post(ask, content=IMAGE, headers=headers) for _ in range(20)]
        assert [each.status_code for each in answers] == [200] * 20
        assert {each.headers["x-request-id"] for each in answers} == {"mine"}
        assert len({each.text for each in answers}) == 1
        shares = [predictions(url) for url in found.addresses]
        assert sum(shares) == 20
        assert min(shares) >= 5
        assert client.get("/metrics").status_code == 403
        found.stops[0].close()
        answers = [client.post(ask, content=IMAGE, headers=headers) for _ in range(20)]
        assert [each.status_code for each in answers] == [200] * 20
        assert predictions(found.addresses[1]) == shares[1] + 20
