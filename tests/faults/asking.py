"""Requests of the tests, each compared with the oracle."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.soak.connection import Connection, close_all, post
from benchmarks.soak.oracle import SWAPPED, Oracle, Picture
from benchmarks.soak.process import Service


@asynccontextmanager
async def connected(service: Service, count: int = 1) -> AsyncIterator[list[Connection]]:
    """So many connections, until the block ends."""
    made = [await Connection.open(service.port) for _ in range(count)]
    try:
        yield made
    finally:
        await close_all(made)


def picture_for(oracle: Oracle, model: str) -> Picture:
    return oracle.pictures["odd" if model == SWAPPED else model][0]


def request(oracle: Oracle, model: str = "steady") -> bytes:
    picture = picture_for(oracle, model)
    path = f"/v1/models/{model}/predict?top_k=99"
    return post(path, picture.encoded, picture.media_type)


async def ask(connection: Connection, oracle: Oracle, model: str = "steady") -> int:
    """The version that answered rightly; anything else fails the test."""
    return await answered(connection, oracle, model, request(oracle, model))


async def answered(
    connection: Connection, oracle: Oracle, model: str, sent: bytes, status: int = 200
) -> int:
    """The same, of what is sent."""
    answer = await connection.ask(sent)
    assert answer.status == status, answer
    content = json.loads(answer.body)
    oracle.check(model, [picture_for(oracle, model)], content)
    version: int = content["version"]
    return version


async def ask_anew(service: Service, oracle: Oracle, model: str = "steady") -> int:
    """The same over a connection of its own."""
    async with connected(service) as [connection]:
        return await ask(connection, oracle, model)
