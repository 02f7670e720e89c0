"""What explanations cost those who predict: `python -m benchmarks explaining`.

A server on one core, a client on another that asks for one prediction after the other: alone, and
while others keep asking for explanations; in turns, so that a machine whose speed varies slows
both. `--cores all` leaves the server all cores; `--against COMMIT` takes turns with that commit.
"""

import argparse
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from statistics import median, quantiles

import httpx2 as httpx
import numpy as np
from PIL import Image

from benchmarks.serving.started import services

PNG = {"Content-Type": "image/png"}


def predict(url: str, image: bytes, requests: int) -> tuple[float, float]:
    """Send predictions one after the other. Return median and 95th percentile, milliseconds."""
    taken = []
    with httpx.Client(timeout=60) as client:
        for _ in range(requests):
            started = time.perf_counter()
            client.post(f"{url}/predict", content=image, headers=PNG).raise_for_status()
            taken.append(1000 * (time.perf_counter() - started))
            time.sleep(0.01)
    return median(taken), quantiles(taken, n=20)[18]


@contextmanager
def explaining(url: str, image: bytes, clients: int, answered: list[float]) -> Iterator[None]:
    """Run clients in the background, each asking for one explanation after the other.

    The milliseconds of each request are appended to `answered`.
    """
    over = threading.Event()

    def keep_asking() -> None:
        with httpx.Client(timeout=60) as client:
            while not over.is_set():
                started = time.perf_counter()
                client.post(f"{url}/explain?method=occlusion", content=image, headers=PNG)
                answered.append(1000 * (time.perf_counter() - started))

    threads = [threading.Thread(target=keep_asking) for _ in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="birds-vs-planes")
    parser.add_argument("--requests", type=int, default=150)
    parser.add_argument("--clients", type=int, default=4, help="that ask for explanations")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--cores", choices=("one", "all"), default="one", help="of the server")
    parser.add_argument("--against", metavar="COMMIT", help="another commit, in turns")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    levels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    image = buffer.getvalue()
    alone = arguments.cores == "one"
    found: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    with services(arguments.against, cores[0] if alone else None) as started:
        if alone and len(cores) > 1:
            os.sched_setaffinity(0, {cores[1]})
        urls = {name: f"{url}/v1/models/{arguments.model}" for name, url in started.items()}
        for url in urls.values():  # the first loads what explains
            with explaining(url, image, 1, []):
                predict(url, image, 20)
        for _ in range(arguments.turns):
            for name, url in urls.items():
                found[name, "alone"].append(predict(url, image, arguments.requests))
                taken: list[float] = []
                with explaining(url, image, arguments.clients, taken):
                    times = predict(url, image, arguments.requests)
                found[name, "beside explanations"].append((*times, median(taken), len(taken)))
    print(f"{'':12}{'predictions':22}{'median ms':>10}{'95 % ms':>9}   explanations: ms, number")
    for (name, how), each in found.items():
        values = [median(column) for column in zip(*each, strict=True)]
        others = "   " + "".join(f"{value:10.0f}" for value in values[2:])
        print(f"{name[:11]:12}{how:22}{values[0]:10.1f}{values[1]:9.1f}{others.rstrip()}")


if __name__ == "__main__":
    main()
