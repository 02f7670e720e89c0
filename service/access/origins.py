"""CORS (the Fetch standard): which web pages of other sites may read answers.

A setting names their origins, such as https://example.org. A browser sends the page's origin, and
lets the page read the answer if the header Access-Control-Allow-Origin names it.
"""

from collections.abc import Iterable

from service.setting_values.addresses import ALL

Header = tuple[bytes, bytes]
_METHODS = b"GET, HEAD, POST, PUT"
_TAKEN = (
    b"Accept, Authorization, Content-Encoding, Content-Type, If-None-Match, "
    b"Inference-Header-Content-Length, Traceparent, Tracestate, X-Request-ID"
)
_TOLD = (
    b"ETag, Inference-Header-Content-Length, Retry-After, Server-Timing, X-Batch-Size, X-Fanlight, "
    b"X-Request-ID"
)
_MAX_AGE = b"600"  # seconds for which a browser keeps that it may ask


class Origins:
    """The origins that may read answers."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = {each.encode() for each in allowed}
        self._all = ALL.encode() in self._allowed

    def headers(self, asked: Iterable[Header]) -> list[Header]:
        """Return the CORS headers of the answer to a request with the headers `asked`."""
        vary = [] if self._all else [(b"vary", b"Origin")]
        origin = next((value for name, value in asked if name == b"origin"), None)
        if origin is None or not (self._all or origin.lower() in self._allowed):
            return vary
        allowed = b"*" if self._all else origin
        return [
            *vary,
            (b"access-control-allow-origin", allowed),
            (b"access-control-expose-headers", _TOLD),
        ]

    @staticmethod
    def preflight(asked: Iterable[Header]) -> list[Header] | None:
        """Return the additional headers of the answer to a preflight request; None for any other.

        A browser sends a preflight request (OPTIONS with Access-Control-Request-Method) to ask
        which methods and headers it may use.
        """
        if not any(name == b"access-control-request-method" for name, _ in asked):
            return None
        return [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _TAKEN),
            (b"access-control-max-age", _MAX_AGE),
        ]
