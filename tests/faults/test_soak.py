"""The soak in small, and whether its oracle sees what it is there to see."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.soak import run
from benchmarks.soak.connection import get
from benchmarks.soak.oracle import Oracle, Picture, WrongAnswerError
from benchmarks.soak.process import running
from benchmarks.soak.run import Options
from tests.faults.asking import connected, picture_for, request
from tests.faults.conftest import Start

pytestmark = pytest.mark.anyio
FAULTS = (  # those that are soon over
    "a version is swapped",
    "a bad version is published",
    "a worker is killed",
    "a flood of requests",
    "clients that don't read",
)


@pytest.mark.thorough
async def test_a_short_soak_breaks_no_promise(repository: Path, oracle: Oracle) -> None:
    options = Options(requests=1, a_round=1000, connections=8, faults=FAULTS)
    with running(*run.flags(repository, workers=2)) as service:
        record = await run.soak(service, repository, oracle, options)
        assert record.broken == Counter(), f"{dict(record.cases)}\n{service.log.text()}"
        assert record.requests >= 1000
        assert record.answered["predict, one image"]["right"] > 100
        [sample] = record.samples
        assert sample.gauges[run.TASKS] > 0
        assert sample.oldest.files > 0
        assert service.stop() == 0
        assert b"".join(service.log.broken) == b""


async def asked(start: Start, published: Path, oracle: Oracle) -> dict[str, Any]:
    """A right answer about the first picture."""
    with start(published) as service:
        async with connected(service) as [connection]:
            answer = await connection.ask(request(oracle))
            content: dict[str, Any] = json.loads(answer.body)
            assert (await connection.ask(get("/health/live"))).status == 200
            return content


async def test_the_oracle_sees_what_is_wrong(start: Start, published: Path, oracle: Oracle) -> None:
    right = await asked(start, published, oracle)
    own, *others = oracle.pictures["steady"]
    assert own == picture_for(oracle, "steady")
    oracle.check("steady", [own], right)

    def is_refused(answer: dict[str, Any], pictures: list[Picture], model: str = "steady") -> None:
        with pytest.raises(WrongAnswerError):
            oracle.check(model, pictures, answer)

    for other in others:  # an answer that went to another client
        is_refused(right, [other])
    is_refused(right, [own, own])
    is_refused(right | {"model": "colours"}, [own])
    [prediction] = right["predictions"]
    top = prediction["top"]
    swapped = [{**top[0], "label": top[1]["label"]}, {**top[1], "label": top[0]["label"]}]
    is_refused(right | {"predictions": [prediction | {"top": swapped + top[2:]}]}, [own])
    is_refused(right | {"predictions": [prediction | {"top": top[:1]}]}, [own])
    is_refused(right | {"predictions": [prediction | {"label": top[-1]["label"]}]}, [own])
