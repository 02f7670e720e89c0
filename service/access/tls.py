"""TLS: certificate and key files → the context of the listener, which follows the files.

The listener always has the same context. Its SNI callback gives each handshake the newest context
that was built from both files. So a pair that doesn't match or is half written is never used.
"""

import re
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

from models.errors import FanlightError, damaged
from service.access import reloading
from service.access.reloading import Reloading
from service.monitoring.logs import Log

log = Log()
_EXPIRED = 10  # OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """The context for a certificate (with its chain) and its key, both PEM.

    Raises `OSError`, or a `FanlightError` that says which of the files is wrong, and how.
    """
    _check_files(certificate, key)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])  # of a client that offers HTTP/2 too
    try:
        # without this password, OpenSSL would ask for one on the terminal
        made.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        raise _explained(error, certificate, key) from error
    return made


def following(certificate: Path, key: Path) -> tuple[ssl.SSLContext, Reloading[ssl.SSLContext]]:
    """Build the context of a listener, and the `Reloading` that updates it when the files change.

    The caller starts the `Reloading`. Raises as `context` does for files that can't be used.
    """
    newest = outer = context(certificate, key)
    _warn_if_expired(outer, certificate)

    def use(made: ssl.SSLContext) -> None:
        nonlocal newest
        newest = made
        _warn_if_expired(made, certificate)

    def choose(handshake: Any, _name: str | None, _outer: ssl.SSLContext) -> None:
        handshake.context = newest

    outer.sni_callback = choose  # which is called for clients without SNI too
    return outer, Reloading(
        "tls_certificate", [certificate, key], lambda: context(certificate, key), use
    )


def is_expired(made: ssl.SSLContext, certificate: Path) -> bool:
    """Return whether the certificate has expired.

    A TLS handshake in memory shows it, since the ssl module can't read the dates from a file.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself is trusted
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = made.wrap_bio(there, back, server_side=True)
    theirs = client.wrap_bio(back, there)
    try:
        client.load_verify_locations(certificate)
        for side in (theirs, ours, theirs):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return error.verify_code == _EXPIRED
    except ssl.SSLError:
        return False
    return False


def _warn_if_expired(made: ssl.SSLContext, certificate: Path) -> None:
    if is_expired(made, certificate):
        log.warning(
            "certificate_expired",
            file=str(certificate),
            effect="clients that verify it will not connect; put a new one in its place",
        )


def _check_files(certificate: Path, key: Path) -> None:
    """Raise `DamagedFileError` unless the files hold a certificate and an unencrypted key (PEM)."""
    found = set(_BEGIN.findall(reloading.read(certificate)))
    if b"CERTIFICATE" not in found:
        raise damaged(
            certificate,
            f"has no certificate in PEM form, but {_told(found)}",
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certificate)
    except ssl.SSLError as error:
        raise damaged(certificate, "has a certificate that is not whole") from error
    content = reloading.read(key)
    found = set(_BEGIN.findall(content))
    if not any(kind.endswith(b"PRIVATE KEY") for kind in found):
        raise damaged(key, f"has no private key in PEM form, but {_told(found)}")
    if b"ENCRYPTED" in content:
        raise damaged(
            key,
            "is encrypted; write it without a password, readable by the "
            "service only: openssl pkey -in OLD -out NEW",
        )


def _told(found: set[bytes]) -> str:
    return ", ".join(sorted(kind.decode() for kind in found)) or "no PEM block"


def _explained(error: ssl.SSLError, certificate: Path, key: Path) -> FanlightError:
    """Convert OpenSSL's error to one that names the file."""
    if error.reason == "KEY_VALUES_MISMATCH":
        return FanlightError(
            f"{key} is not the key of {certificate}; "
            "the server's own certificate comes first, then those that signed it"
        )
    if not error.reason:  # the certificate was read before
        return damaged(key, "has a private key that is not whole")
    reason = error.reason.replace("_", " ").lower()
    return FanlightError(f"OpenSSL refuses {certificate} and {key}: {reason}")
