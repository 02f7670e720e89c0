"""Figures of several workers: summed, as long as a worker lives."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx2 as httpx
import pytest

from service.monitoring import workers_figures
from tests.e2e.servers import running
from tests.networks import DATA
from tests.service.monitoring.test_metrics import figure

WAIT = """
import sys
from service.monitoring.metrics import Metrics

figures = Metrics()
figures.versions.waiting("sure", 1, int(sys.argv[1]))
for _ in sys.stdin:
    print(figures.exposition().decode(), "# end", flush=True)
"""


def test_workers_are_summed(tmp_path: Path) -> None:
    image = (DATA / "digits" / "7.png").read_bytes()
    with running(tmp_path / "log", "--workers", "2") as server:
        url, type = f"{server.url}/v1/models/mnist/predict", {"Content-Type": "image/png"}
        for _ in range(20):  # a connection each, which either worker may take
            assert httpx.post(url, content=image, headers=type).status_code == 200
        texts = [httpx.get(f"{server.url}/metrics").text for _ in range(5)]
    for text in texts:
        assert figure(text, "fanlight_request_seconds_count", operation="predict") == 20
        assert figure(text, "fanlight_batch_images_sum", model="mnist") == 20
        assert figure(text, "fanlight_model_ready", model="mnist") == 1
        assert figure(text, "fanlight_build_info") == 1
        assert figure(text, "process_resident_memory_bytes") > 2 * 10**8  # of both
        assert figure(text, "process_start_time_seconds") < time.time()


def test_images_that_wait_are_summed_over_workers_that_live(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WAIT, images],
            env=os.environ | {workers_figures.FOLDER: str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for images in ("30", "4")
    ]

    def waiting(worker: subprocess.Popen[str]) -> float:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
        told = "".join(iter(worker.stdout.readline, " # end\n"))
        return figure(told, "fanlight_queue_images", model="sure")

    try:
        for worker in workers:
            waiting(worker)  # it has written its own
        assert [waiting(worker) for worker in workers] == [34, 34]
        workers[0].kill()
        workers[0].wait(30)
        assert waiting(workers[1]) == 4
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate(timeout=30)


def test_the_shared_folder_goes_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(workers_figures.FOLDER, raising=False)
    with workers_figures.shared():
        folder = Path(os.environ[workers_figures.FOLDER])
        assert folder.is_dir()
        with workers_figures.shared():
            assert os.environ[workers_figures.FOLDER] == str(folder)
    assert not folder.exists()
    assert workers_figures.FOLDER not in os.environ
