"""The client's address behind a proxy: from X-Forwarded-For, if the proxy is a trusted one.

A setting names the trusted proxies. The client is the last address in the header that is not a
trusted proxy; a client can forge the addresses before it. Without the setting the header is
ignored.
"""

import ipaddress
from collections.abc import Iterable, MutableMapping
from functools import lru_cache
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAX_ADDRESSES = 20  # addresses of a header that are looked at


class Forwarded:
    """Writes the client's address into a request that came through a trusted proxy.

    `trusted` are addresses and networks of proxies.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(each) for each in trusted)
        self._is_trusted = lru_cache(1024)(self._look)

    def apply(self, scope: MutableMapping[str, Any]) -> None:
        """Set `client` and `scheme` of a request's ASGI scope, if it came from a trusted proxy."""
        client = scope.get("client")
        if not client or not self._is_trusted(client[0]):
            return
        told: list[str] = []
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                told += value.decode("latin-1").split(",")
            elif name == b"x-forwarded-proto":
                scheme = value.decode("latin-1").rpartition(",")[2].strip().lower()
                if scheme in ("http", "https"):
                    scope["scheme"] = scheme
        found = None
        for text in reversed(told[-_MAX_ADDRESSES:]):
            address = _address(text.strip())
            if address is None:
                break
            found = address
            if not self._is_trusted(address):
                break
        if found is not None:
            scope["client"] = (found, 0)

    def _look(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in each for each in self._networks if each.version == parsed.version)


def _address(text: str) -> str | None:
    """Return the IP address in a text, without a port; None if there is none."""
    for each in (text, text.rpartition(":")[0], text.removeprefix("[").partition("]")[0]):
        try:
            found = ipaddress.ip_address(each)
            mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
            return str(mapped or found)
        except ValueError:
            continue
    return None
