"""A client of the service: `Client`, and `AsyncClient` for asyncio.

paths, bytes, PIL images, arrays → HTTP → predictions, arrays, pictures
"""

from fanlight.client.answers import ClientError, Features, LabelScore, Prediction
from fanlight.client.clients import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "ClientError", "Features", "LabelScore", "Prediction"]
