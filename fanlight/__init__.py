"""The command `fanlight`, one program for training and for the service, and a client for Python.

The client is imported by `from fanlight import Client`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fanlight.client import AsyncClient, Client, ClientError

__all__ = ["AsyncClient", "Client", "ClientError"]


def __getattr__(name: str) -> Any:
    """Import the client at its first use, since the command `fanlight` needs no HTTP client."""
    if name in __all__:
        try:
            from fanlight import client
        except ModuleNotFoundError as error:
            if error.name != "httpx":
                raise
            raise ImportError(f"{name} needs httpx: pip install 'fanlight[client]'") from error
        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
