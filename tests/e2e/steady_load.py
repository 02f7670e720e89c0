"""Load that goes on while servers are stopped, killed and replaced: what became of each request."""

import asyncio
import json
import time
from collections import Counter
from contextlib import closing, suppress
from typing import Self

from tests.e2e.test_proxies import CLASSIFY, DIGITS, Client, head

CLIENTS = 32
PORTION = 0.8  # of the answers a second that are possible
MEASURED_SECONDS = 3.0


class SteadyLoad:
    """Asks what digits are, at 80 % of the rate that was possible at the beginning.

    `outcomes` counts "right", "wrong", each other status, and why there was no answer. An async
    context manager: inside, the requests are due at equal intervals; those that are late are sent
    as soon as a connection is free.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.outcomes: Counter[str] = Counter()
        self.latencies: list[float] = []  # seconds, of right answers
        self.rate = 0.0
        self._due = 0.0
        self._ends = False

    @property
    def lost(self) -> Counter[str]:
        """Without an answer, or with one that a proxy made; 429 is an answer of ours."""
        return Counter({k: n for k, n in self.outcomes.items() if k not in ("right", "429")})

    async def __aenter__(self) -> Self:
        async with asyncio.timeout(60), asyncio.TaskGroup() as clients:
            ends = time.monotonic() + MEASURED_SECONDS
            for number in range(CLIENTS):
                clients.create_task(self._ask_until(ends, number))
        self.rate = PORTION * self.outcomes["right"] / MEASURED_SECONDS
        assert not self.lost, self.outcomes
        self._due = time.monotonic()
        self.latencies.clear()
        self._clients = [asyncio.create_task(self._ask_in_time(n)) for n in range(CLIENTS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ends = True
        await asyncio.gather(*self._clients)

    async def _ask_until(self, ends: float, number: int) -> None:
        with closing(Client(self._port)) as client:
            while time.monotonic() < ends:
                number += CLIENTS
                await self._ask(client, number)

    async def _ask_in_time(self, number: int) -> None:
        with closing(Client(self._port)) as client:
            while not self._ends:
                due, self._due = self._due, self._due + 1 / self.rate
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.Event().wait(), due - time.monotonic())
                number += CLIENTS
                await self._ask(client, number)

    async def _ask(self, client: Client, number: int) -> None:
        file = DIGITS[number % len(DIGITS)]
        image, request_id = file.read_bytes(), f"steady-{number}"
        begun = time.monotonic()
        answer = await client.ask(head(CLASSIFY, request_id, len(image)) + image)
        if answer.fault:
            self.outcomes[answer.fault] += 1
        elif answer.status != 200:
            self.outcomes[str(answer.status)] += 1
        elif answer.request_id != request_id or _label(answer.body) != file.stem:
            self.outcomes["wrong"] += 1
        else:
            self.outcomes["right"] += 1
            self.latencies.append(time.monotonic() - begun)


def _label(body: bytes) -> str:
    found: str = json.loads(body)["predictions"][0]["label"]
    return found
