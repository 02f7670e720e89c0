"""Who may ask, and how often: the headers of a request → the name of its API key, or an error.

    Authorization: Bearer KEY → SHA-256 → name → token bucket of that name

One SHA-256 and one dictionary look-up find the key, however many keys there are. The time of the
look-up reveals nothing about a key: hashes are compared, not keys, and the order of the
dictionary's hash table is random in each process.
"""

import ipaddress
import math
from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import ExitStack
from functools import lru_cache, partial
from typing import Any, Self

from service.access import api_keys
from service.access.rate_limit import RateLimit
from service.access.reloading import Reloading
from service.errors import RateLimitError, UnauthorizedError, UnavailableError
from service.settings import Settings

CALLER = "fanlight.api_key"
"""Key of an ASGI scope for the name of the request's API key, None if no key is required."""
OF_SETTING = "(api_key)"
"""Name of the API key that the setting api_key gives; no key of a file can have this name."""
_SCHEME = b"bearer"


def client_of(scope: Mapping[str, Any]) -> str:
    """Return who sends the request of this ASGI scope: the name of the API key, else the address.

    It tells clients apart where they share something, such as a queue.
    """
    return str(scope.get(CALLER) or (scope.get("client") or ("",))[0])


class Gate:
    """A gate that lets requests pass by their API key and their rate limit.

    As a context manager, it reads the file of keys again whenever that changes.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own: dict[bytes, str] = {}
        if settings.api_key is not None:
            key = settings.api_key.get_secret_value().encode().strip()
            self._own[api_keys.digest(key)] = OF_SETTING
        self._names: Mapping[bytes, str] = self._own  # of all keys, by their digest
        self._is_file_missing = settings.api_key_file is not None  # until it was read once
        self._limit: RateLimit | None = None
        if settings.rate_limit is not None:
            burst = settings.rate_burst or max(1, math.ceil(settings.rate_limit))
            self._limit = RateLimit(settings.rate_limit, burst)
        self._following = ExitStack()

    @property
    def is_open(self) -> bool:
        """True if every request may pass, and nothing needs to be checked."""
        return self._limit is None and not self._settings.asks_for_key

    def __enter__(self) -> Self:
        if path := self._settings.api_key_file:
            read = partial(api_keys.read, path)
            reloading = Reloading("api_key_file", [path], read, self._use)
            self._following.callback(reloading.close)
            reloading.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._following.close()

    def check(self, scope: MutableMapping[str, Any]) -> None:
        """Raise unless the request may pass; store the name of its API key in the ASGI scope.

        Raises `UnauthorizedError` for a missing or unknown key, `RateLimitError` for a client that
        asks too often, `UnavailableError` while no file of keys could be read. A request is counted
        once, even if it is checked several times; without a key it counts for the client's address.
        """
        if CALLER in scope:
            return
        asks = self._settings.asks_for_key
        name = self._name(scope["headers"]) if asks else None
        if self._limit is not None:
            wait = self._limit.take(name or _address(scope.get("client")))
            if wait:
                raise self._too_often(name, wait)
        if asks and name is None:
            if self._is_file_missing:
                raise UnavailableError(
                    "the file of API keys can't be used, the log says why (setting api_key_file)"
                )
            raise UnauthorizedError(f"send the header 'Authorization: Bearer KEY' ({self._where})")
        scope[CALLER] = name

    @property
    def _where(self) -> str:
        return "setting api_key_file" if self._settings.api_key_file else "setting api_key"

    def _name(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Return the name of the key in the headers; None if the key is missing or unknown.

        The names of headers must be in lower case. Raises `UnauthorizedError` if Authorization is
        repeated.
        """
        given: bytes | None = None
        for name, value in headers:
            if name == b"authorization":
                if given is not None:
                    raise UnauthorizedError(
                        f"send the header Authorization once, not more often ({self._where})"
                    )
                given = value
        if given is None:
            return None
        scheme, _, key = given.partition(b" ")
        if scheme.lower() != _SCHEME:
            return None
        return self._names.get(api_keys.digest(key.strip()))

    def _use(self, names: Mapping[bytes, str]) -> None:
        self._names = {**names, **self._own}
        self._is_file_missing = False

    def _too_often(self, name: str | None, wait: float) -> RateLimitError:
        whose = f"API key {name!r}" if name else "this address"
        return RateLimitError(
            f"{whose} may ask {self._settings.rate_limit:g} times a second (setting rate_limit); "
            f"try again in {math.ceil(wait)} s",
            retry_after=wait,
        )


def _address(client: tuple[str, int] | None) -> bytes | str:
    """Return what identifies a client without a key; it never equals the name of a key."""
    return _network(client[0]) if client else b""


@lru_cache(4096)
def _network(address: str) -> bytes:
    """Return the bytes of an IP address; of IPv6 the first half, since one host has all of a /64.

    Other text, such as the path of a socket, is returned as bytes.
    """
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # no address, such as the path of a socket
        return address.encode()
    if isinstance(known, ipaddress.IPv6Address):
        mapped = known.ipv4_mapped
        return mapped.packed if mapped else known.packed[:8]
    return known.packed
