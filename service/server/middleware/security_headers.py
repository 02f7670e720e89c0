"""The security headers of every answer, so that pages of other sites can't misuse it.

The API answers programs; these headers matter where a browser is led to one of its addresses:

- `nosniff`: an answer is what its Content-Type says; a file name in an error is never HTML.
- the policy: an answer that is opened as a page loads nothing, runs nothing, and is in no frame.
  Pages bring a policy of their own.
- no referrer: an address, which may name a model, goes to no other site.
- `same-site`: pages of other sites can't embed an answer, such as the picture of a kernel. A
  notebook on another port of this host can.

Strict-Transport-Security is left to who owns the host name: it holds for all of its ports.
The selection follows OWASP's REST Security Cheat Sheet.
"""

from collections.abc import Iterable

Header = tuple[bytes, bytes]

HEADERS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-site"),
)
LINES = b"".join(b"%b: %b\r\n" % header for header in HEADERS)
"""`HEADERS` as lines of HTTP/1.1, for code that writes answers without ASGI."""


def missing(headers: Iterable[Header]) -> list[Header]:
    """Return the security headers that `headers` lacks. Names must be in lower case."""
    names = {name for name, _ in headers}
    return [header for header in HEADERS if header[0] not in names]
