"""A Python client of the service: `Client` blocks, `AsyncClient` is for asyncio.

Images are given as paths, bytes, images of Pillow or arrays; predictions, activations and heat maps
come back as dataclasses, arrays and images.
"""

from fanlight.client.answers import ClientError, Features, LabelScore, Prediction
from fanlight.client.clients import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "ClientError", "Features", "LabelScore", "Prediction"]
