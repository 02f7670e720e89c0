"""A service with HTTPS, keys and a port for its figures, as processes of their own."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2 as httpx
import pytest
import trustme

from service.access import api_keys
from tests.certificates import Files, issue
from tests.e2e.servers import Server, free_port, running
from tests.networks import DATA
from tests.service.connections import post
from tests.waiting import until

pytestmark = pytest.mark.slow
IMAGE = (DATA / "digits" / "7.png").read_bytes()
PREDICT = "/v1/models/mnist/predict"
TYPE = {"Content-Type": "image/png"}


class Secured(NamedTuple):
    server: Server
    authority: trustme.CA
    trust: ssl.SSLContext
    files: Files
    keys: Path
    figures: str  # the address of the port for /metrics

    def predict(self, key: str) -> int:
        headers = {**TYPE, "Authorization": f"Bearer {key}"}
        answer = httpx.post(
            self.server.url + PREDICT, content=IMAGE, headers=headers, verify=self.trust
        )
        return answer.status_code

    @contextmanager
    def connected(self, url: str) -> Iterator[ssl.SSLSocket]:
        port = int(url.rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            self.trust.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            yield connection

    def serial(self) -> str:
        """The number of the certificate that a new connection meets."""
        with self.connected(self.server.url) as connection:
            return str((connection.getpeercert() or {})["serialNumber"])


@pytest.fixture(
    scope="module",
    params=[1, pytest.param(2, marks=pytest.mark.thorough)],
    ids=["one process", "two workers"],
)
def secured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority = trustme.CA()
    files, keys, port = issue(authority, folder), folder / "keys", free_port()
    api_keys.add(keys, "alice", "key of alice")
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trust)
    options = {
        "--tls-certificate": files.certificate,
        "--tls-key": files.key,
        "--api-key-file": keys,
        "--metrics-port": port,
        "--metrics-access": "key",
        "--workers": request.param,
    }
    words = [str(word) for option in options.items() for word in option]
    with running(folder / "log", *words, trust=trust) as server:
        yield Secured(server, authority, trust, files, keys, f"https://127.0.0.1:{port}")


def test_a_prediction_over_https_with_a_key(secured: Secured) -> None:
    assert secured.predict("key of alice") == 200
    assert secured.predict("key of bob") == 401


def test_figures_are_at_their_port_only_and_ask_for_a_key(secured: Secured) -> None:
    with httpx.Client(verify=secured.trust) as client:
        headers = {"Authorization": "Bearer key of alice"}
        assert client.get(f"{secured.figures}/metrics").status_code == 401
        answer = client.get(f"{secured.figures}/metrics", headers=headers)
        assert answer.status_code == 200
        assert "fanlight_model_ready" in answer.text
        for path in ("/", "/health/live", "/v1/models"):
            assert client.get(secured.figures + path, headers=headers).status_code == 404
        assert client.get(f"{secured.server.url}/metrics", headers=headers).status_code == 404


def test_no_prediction_is_made_at_the_port_of_figures(secured: Secured) -> None:
    """What comes in one piece would be for the fast path, which asks no route."""
    request = post(IMAGE, path=PREDICT, Authorization="Bearer key of alice")
    for url, status in ((secured.server.url, b"200"), (secured.figures, b"404")):
        with secured.connected(url) as connection:
            connection.sendall(request)
            assert connection.recv(12) == b"HTTP/1.1 " + status


def test_new_keys_and_certificates_are_taken_while_it_runs(secured: Secured) -> None:
    api_keys.add(secured.keys, "bob", "key of bob")
    until(lambda: all(secured.predict("key of bob") == 200 for _ in range(8)))
    before = secured.serial()
    issue(secured.authority, secured.files.certificate.parent)
    until(lambda: before not in {secured.serial() for _ in range(8)})
    assert secured.predict("key of alice") == 200


def test_plain_http_to_the_port_of_https_hurts_nobody(secured: Secured) -> None:
    port = int(secured.server.url.rpartition(":")[2])
    for sent in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01", b"\x00" * 1000, b""):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(sent)
    assert secured.predict("key of alice") == 200
    assert "Traceback" not in secured.server.log.read_text()


def test_the_log_names_keys_and_has_none(secured: Secured) -> None:
    assert secured.predict("key of alice") == 200
    until(lambda: '"api_key":"alice"' in secured.server.log.read_text().replace(" ", ""))
    assert "key of" not in secured.server.log.read_text()
