"""The API key: who may ask, where the setting `api_key` is set."""

import hmac
from collections.abc import Iterable

from service.errors import UnauthorizedError
from service.settings import Settings


def check(headers: Iterable[tuple[bytes, bytes]], settings: Settings) -> None:
    """Raise `UnauthorizedError` unless the headers carry the API key, where one is set.

    Header names are in lower case. The comparison takes the same time for every wrong key.
    """
    if settings.api_key is None:
        return
    scheme, _, key = dict(headers).get(b"authorization", b"").partition(b" ")
    expected = settings.api_key.get_secret_value().encode()
    if scheme.lower() != b"bearer" or not hmac.compare_digest(key.strip(), expected):
        raise UnauthorizedError("send the header 'Authorization: Bearer KEY' (setting api_key)")
