"""Settings that list origins of web pages, or addresses of proxies: texts → names."""

import ipaddress
import re
from collections.abc import Iterable

ALL = "*"
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")


def origins(given: str | Iterable[str]) -> tuple[str, ...]:
    """Parse origins, which may be separated by commas or spaces; `*` means all.

    Raises `ValueError` for a text that is no origin.
    """
    found = _words(given)
    for each in found:
        if each != ALL and not _ORIGIN.fullmatch(each):
            raise ValueError(
                f"{each!r} is no origin: write https://example.org or http://localhost:3000, "
                "without a path, or * for all"
            )
    return tuple(dict.fromkeys(each.lower() for each in found))


def proxies(given: str | Iterable[str]) -> tuple[str, ...]:
    """Parse addresses and networks, which may be separated by commas or spaces.

    Raises `ValueError` for a text that is neither.
    """
    found = _words(given)
    for each in found:
        try:
            ipaddress.ip_network(each)
        except ValueError:
            raise ValueError(
                f"{each!r} is neither an address nor a network: write 10.0.0.7 or 10.0.0.0/8"
            ) from None
    return tuple(dict.fromkeys(found))


def _words(given: str | Iterable[str]) -> list[str]:
    texts = (given,) if isinstance(given, str) else tuple(given)
    return [each for text in texts for each in re.split(r"[,\s]+", text) if each]
