"""What explanations cost those who predict: `python -m benchmarks.explaining`.

A server on one core, a client on another that asks for one prediction after the other: alone, and
while others keep asking for explanations; in turns, so that a machine whose speed varies slows
both.
"""

import argparse
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from statistics import median, quantiles

import httpx2 as httpx
import numpy as np
from PIL import Image

MODEL = "birds-vs-planes"
PNG = {"Content-Type": "image/png"}


@contextmanager
def server(core: int) -> Iterator[str]:
    """The service with the shipped checkpoints on one core; yields its URL for the model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "service", "--port", str(port), "--log-level", "error"]
    with subprocess.Popen(command) as process:  # noqa: S603 (our own program)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(process.pid, {core})
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        try:
            while not _ready(url):
                if time.monotonic() > deadline:
                    raise TimeoutError("the service is not ready after 60 s")
                time.sleep(0.2)
            yield f"{url}/v1/models/{MODEL}"
        finally:
            process.terminate()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def predict(url: str, image: bytes, requests: int) -> tuple[float, float]:
    """Median and 95th percentile, in milliseconds, of one request after the other."""
    taken = []
    with httpx.Client(timeout=60) as client:
        for _ in range(requests):
            started = time.perf_counter()
            client.post(f"{url}/predict", content=image, headers=PNG).raise_for_status()
            taken.append(1000 * (time.perf_counter() - started))
            time.sleep(0.01)
    return median(taken), quantiles(taken, n=20)[18]


@contextmanager
def explaining(url: str, image: bytes, clients: int) -> Iterator[None]:
    """So many clients that ask for an explanation as soon as they have the last."""
    over = threading.Event()

    def keep_asking() -> None:
        with httpx.Client(timeout=60) as client:
            while not over.is_set():
                client.post(f"{url}/explain?method=occlusion", content=image, headers=PNG)

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
    parser.add_argument("--requests", type=int, default=150)
    parser.add_argument("--clients", type=int, default=4, help="that ask for explanations")
    parser.add_argument("--turns", type=int, default=2)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    levels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    image = buffer.getvalue()
    with server(cores[0]) as url:
        if len(cores) > 1:
            os.sched_setaffinity(0, {cores[1]})
        with explaining(url, image, 1):  # the first loads what explains
            predict(url, image, 20)
        print(f"{'predictions':24}{'median ms':>12}{'95 % ms':>10}")
        for _ in range(arguments.turns):
            alone = predict(url, image, arguments.requests)
            with explaining(url, image, arguments.clients):
                beside = predict(url, image, arguments.requests)
            for name, (middle, high) in (("alone", alone), ("beside explanations", beside)):
                print(f"{name:24}{middle:12.1f}{high:10.1f}")


if __name__ == "__main__":
    main()
