"""Connections whose requests were refused are read again one after the other."""

import asyncio
import socket

import pytest
from structlog.testing import capture_logs

from service.server.backpressure import (
    MAX_RESUMED_IN_A_ROUND,
    RESUMED_IN_A_ROUND,
    Backpressure,
    waited,
)
from tests.waiting import spend, until_async

pytestmark = pytest.mark.anyio


class Connection:
    """Notes when it is read again."""

    def __init__(self, again: list["Connection"]) -> None:
        self._again = again

    def read_again(self) -> None:
        self._again.append(self)


@pytest.mark.slow
async def test_connections_are_read_again_in_their_order() -> None:
    backpressure, again = Backpressure(), []  # type: Backpressure, list[Connection]
    paused = [Connection(again) for _ in range(10 * RESUMED_IN_A_ROUND)]
    assert not backpressure.is_active
    for each in paused:
        backpressure.refused(each)
    assert (backpressure.paused, backpressure.is_active) == (len(paused), True)
    await until_async(lambda: again)
    assert len(again) <= 2 * RESUMED_IN_A_ROUND
    await until_async(lambda: len(again) == len(paused))
    assert again == paused
    await until_async(lambda: not backpressure.is_active)


class RefusedAgain:
    """Is refused again when it is read, as long as that was in one of the first rounds.

    `rounds` counts the connections that are read in each round.
    """

    def __init__(self, backpressure: Backpressure, rounds: list[int]) -> None:
        self._backpressure, self._rounds = backpressure, rounds

    def read_again(self) -> None:
        if not self._rounds or self._rounds[-1] == 0:
            self._rounds[-1:] = [0]
            asyncio.get_running_loop().call_soon(self._rounds.append, 0)  # behind this round
        self._rounds[-1] += 1
        if len(self._rounds) <= 4:
            self._backpressure.refused(self)


@pytest.mark.slow
async def test_while_more_are_refused_few_are_read_in_a_round() -> None:
    backpressure, rounds = Backpressure(), []  # type: Backpressure, list[int]
    for _ in range(2000):
        backpressure.refused(RefusedAgain(backpressure, rounds))
    await until_async(lambda: not backpressure.paused)
    assert rounds[:4] == [RESUMED_IN_A_ROUND] * 4
    assert max(rounds[5:]) >= MAX_RESUMED_IN_A_ROUND  # none was refused any more


async def test_a_client_is_told_when_its_connection_is_read_again() -> None:
    backpressure, again = Backpressure(), []  # type: Backpressure, list[Connection]
    assert backpressure.retry_after == 1
    for _ in range(1000):
        backpressure.refused(Connection(again))
    assert backpressure.retry_after == pytest.approx(1000 * 0.01 / RESUMED_IN_A_ROUND, abs=1)
    await until_async(lambda: not backpressure.paused)
    assert backpressure.retry_after == 1


@pytest.mark.slow
async def test_refusals_are_counted_in_one_line() -> None:
    backpressure, again = Backpressure(), []  # type: Backpressure, list[Connection]
    with capture_logs() as lines:
        for _ in range(20):
            backpressure.refused(Connection(again))
        await until_async(lambda: lines)
        assert [(line["event"], line["refused"]) for line in lines] == [("overloaded", 20)]
        backpressure.refused(Connection(again))
        await until_async(lambda: len(lines) == 2)  # a second later
        assert lines[1]["refused"] == 1


async def test_how_long_bytes_have_waited_in_their_socket() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0] as connection,
    ):
        client.send(b"a")
        spend(0.2)
        if hasattr(socket, "TCP_INFO"):
            assert 0.15 < waited(connection) < 5
        client.send(b"b")
        await until_async(lambda: len(connection.recv(2, socket.MSG_PEEK)) == 2)
        assert waited(connection) < 0.15
    first, second = socket.socketpair()  # no TCP
    assert waited(first) == waited(None) == 0.0
    for each in (first, second):
        each.close()
