"""TLS: what is wrong with certificate and key is told, and new ones are taken while it runs."""

import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from models.errors import FanlightError
from service.access import tls
from tests.certificates import Files, issue


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> Files:
    return issue(authority, tmp_path)


def connected(
    server: ssl.SSLContext, client: ssl.SSLContext, name: str | None = "localhost"
) -> ssl.SSLObject:
    """The client's side of a handshake in memory; raises `ssl.SSLError` where it fails."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = client.wrap_bio(back, there, server_hostname=name)
    ours = server.wrap_bio(there, back, server_side=True)
    for side in (theirs, ours, theirs, ours):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return theirs


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return client


def test_a_client_that_trusts_the_authority_connects(authority: trustme.CA, files: Files) -> None:
    client = trusting(authority)
    client.set_alpn_protocols(["h2", "http/1.1"])
    with_server = connected(tls.context(*files), client)
    assert with_server.version() == "TLSv1.3"
    assert with_server.selected_alpn_protocol() == "http/1.1"


def test_old_versions_are_refused(authority: trustme.CA, files: Files) -> None:
    client = trusting(authority)
    client.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1"):
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        connected(tls.context(*files), client)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def told(certificate: Path, key: Path) -> str:
    """The error for these files."""
    with pytest.raises((FanlightError, OSError)) as raised:
        tls.context(certificate, key)
    return str(raised.value)


class TestWhatIsWrong:
    def test_the_key_of_another(self, authority: trustme.CA, files: Files, tmp_path: Path) -> None:
        other = issue(authority, tmp_path, name="other")
        assert f"{other.key} is not the key of {files.certificate}" in told(
            files.certificate, other.key
        )

    def test_the_files_the_other_way_round(self, files: Files) -> None:
        message = told(files.key, files.certificate)
        assert f"{files.key} has no certificate in PEM form, but" in message
        assert "PRIVATE KEY" in message

    def test_no_pem(self, files: Files, tmp_path: Path) -> None:
        pem = files.certificate.read_text()
        first = pem[: pem.index("-----END") + len("-----END CERTIFICATE-----\n")]
        der = written(tmp_path / "der", ssl.PEM_cert_to_DER_cert(first))
        assert "der has no certificate in PEM form, but no PEM block" in told(der, files.key)
        empty = written(tmp_path / "empty", b"")
        assert "empty has no private key in PEM form" in told(files.certificate, empty)

    @pytest.mark.parametrize("length", [100, 200])
    def test_half_a_file(self, files: Files, tmp_path: Path, length: int) -> None:
        for name, kind, given in (("cut.pem", "certificate", 0), ("cut.key", "private key", 1)):
            cut = written(tmp_path / name, files[given].read_bytes()[:length])
            pair = [*files]
            pair[given] = cut
            assert told(*pair) == f"{cut} has a {kind} that is not whole"

    @pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
    def test_a_key_with_a_password(self, files: Files, tmp_path: Path, form: str) -> None:
        """OpenSSL would ask for it on the terminal."""
        key = serialization.load_pem_private_key(files.key.read_bytes(), None)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            getattr(serialization.PrivateFormat, form),
            serialization.BestAvailableEncryption(b"sesame"),
        )
        locked = written(tmp_path / "locked.key", pem)
        assert "is encrypted; write it without a password" in told(files.certificate, locked)

    def test_no_file(self, files: Files, tmp_path: Path) -> None:
        assert "nothing" in told(tmp_path / "nothing", files.key)
        assert "nothing" in told(files.certificate, tmp_path / "nothing")


def test_a_certificate_whose_time_is_over_is_told(authority: trustme.CA, tmp_path: Path) -> None:
    old = issue(authority, tmp_path, expired=True)
    assert tls.is_expired(tls.context(*old), old.certificate)
    with capture_logs() as lines:
        tls.following(*old)
    assert [line["event"] for line in lines] == ["certificate_expired"]
    new = issue(authority, tmp_path, name="new")
    assert not tls.is_expired(tls.context(*new), new.certificate)
    with capture_logs() as lines:
        tls.following(*new)
    assert lines == []


@pytest.mark.parametrize("name", ["localhost", None], ids=["with SNI", "without SNI"])
def test_a_new_certificate_is_taken_while_it_runs(
    authority: trustme.CA, files: Files, name: str | None
) -> None:
    client = trusting(authority)
    client.check_hostname = name is not None
    context, following = tls.following(*files)
    following.look()
    before = connected(context, client, name).getpeercert()
    issue(authority, files.certificate.parent)
    assert connected(context, client, name).getpeercert() == before
    following.look()
    after = connected(context, client, name).getpeercert()
    assert before
    assert after
    assert after["serialNumber"] != before["serialNumber"]


def test_a_pair_that_does_not_fit_meets_nobody(authority: trustme.CA, files: Files) -> None:
    """As when only one of two files has been replaced yet."""
    client = trusting(authority)
    context, following = tls.following(*files)
    following.look()
    before = connected(context, client).getpeercert()
    key = files.key.read_bytes()
    issue(authority, files.certificate.parent)
    newer = files.key.read_bytes()
    files.key.write_bytes(key)
    with capture_logs() as lines:
        following.look()
    assert [line["event"] for line in lines] == ["file_not_usable"]
    assert "is not the key of" in lines[0]["problem"]
    assert connected(context, client).getpeercert() == before
    files.key.write_bytes(newer)
    following.look()
    assert connected(context, client).getpeercert() != before
