"""Certificates for tests, as files, each with its key."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import trustme


class Files(NamedTuple):
    certificate: Path
    key: Path


def issue(
    authority: trustme.CA, folder: Path, *, expired: bool = False, name: str = "server"
) -> Files:
    """A certificate for this machine's loopback address, written over the one before."""
    until = datetime.now(UTC) + timedelta(days=-1 if expired else 1)
    issued = authority.issue_cert(
        "127.0.0.1", "localhost", not_before=until - timedelta(days=30), not_after=until
    )
    files = Files(folder / f"{name}.pem", folder / f"{name}.key")
    files.certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    files.key.write_bytes(issued.private_key_pem.bytes())
    return files
