"""Connections whose requests were refused are read again one after the other."""

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


async def test_while_more_are_refused_few_are_read_in_a_round() -> None:
    backpressure, again = Backpressure(), []  # type: Backpressure, list[Connection]
    for _ in range(2000):
        backpressure.refused(Connection(again))
    rounds: list[int] = []

    def next_round() -> bool:
        if len(again) != sum(rounds):
            rounds.append(len(again) - sum(rounds))
            if len(rounds) < 5:
                backpressure.refused(Connection(again))
        return len(again) == 2004

    await until_async(next_round)
    assert set(rounds[:4]) == {RESUMED_IN_A_ROUND}
    assert max(rounds[4:]) >= MAX_RESUMED_IN_A_ROUND  # none was refused any more


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
