"""Figures of a version: from its start until a while after it is gone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.checkpoint import Checkpoint
from service.inference.runtimes import onnx_runtime
from service.monitoring import version_figures, workers_figures
from service.monitoring.metrics import Metrics
from service.monitoring.version_figures import Counts
from tests import trusted
from tests.networks import LABELS, encode, publish_tiny
from tests.service.conftest import Serve
from tests.service.monitoring.test_metrics import figure
from tests.service.test_predict import parts
from tests.waiting import until

SWAPS = """
import sys
from pathlib import Path
from service.monitoring import gone_versions
from service.monitoring.metrics import Metrics
from tests import trusted

gone_versions.KEPT_SECONDS = float(sys.argv[1])
figures, folder = Metrics(), Path(sys.argv[2])
for number in range(1, 5):
    card = trusted.publish_trusted(folder, "sure")
    figures.versions.loaded(card, "onnx", fallback=False)
    figures.versions.ran("sure", number, 1, 0.01)
    figures.versions.waiting("sure", number, 1)
    if number > 1:
        figures.versions.removed("sure", number - 1, "onnx")
        figures.versions.gone("sure", number - 1)
figures.versions.failed("old", 1)
for model in ("old", "sure", ""):
    figures.answered("get_model", model, 200, 0.01)
figures.versions.gone("old", 1)
print(figures.exposition().decode())
"""


def test_counters_of_a_version_begin_with_0(tmp_path: Path) -> None:
    """One that begins with a number shows Prometheus no increase: the first images are lost."""
    told = Metrics()
    told.versions.loaded(trusted.publish_trusted(tmp_path), "onnx", fallback=False)
    text = told.exposition().decode()
    for name, count in (
        ("answers", len(LABELS)),
        ("answer_scores", 10),
        ("answer_familiarity", 10),
        ("unsure_answers", 2),
    ):
        lines = [each for each in text.splitlines() if each.startswith(f"fanlight_{name}_total{{")]
        assert len(lines) == count
        assert all(each.endswith(" 0.0") for each in lines)


@pytest.mark.parametrize("several", [False, True])
def test_what_is_usual_goes_with_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    told = Metrics()
    kinds: tuple[trusted.Kind, ...] = ("features", "calibration")
    cards = [trusted.publish_trusted(tmp_path / each, "sure", each) for each in kinds]
    for card in (*cards, cards[0]):
        told.versions.loaded(card, "onnx", fallback=False)
        text = told.exposition().decode()
        has_familiarity = card.familiarity is not None
        tenths = figure(text, "fanlight_usual_answer_familiarity")
        assert tenths == pytest.approx(float(has_familiarity))
        assert figure(text, "fanlight_calibration_images") == trusted.COUNT
    with monkeypatch.context() as patched:
        if several:  # processes, whose figures can't be withdrawn
            patched.setenv(workers_figures.FOLDER, str(tmp_path))
        told.versions.removed("sure", 1, "onnx")
    text = told.exposition().decode()
    assert ("fanlight_usual_answers{" in text) == several
    for name in ("answers", "answer_scores", "answer_familiarity"):
        assert figure(text, f"fanlight_usual_{name}") == 0
    assert figure(text, "fanlight_calibration_images") == 0


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(("kept", "versions"), [(0, {"4"}), (300, {"1", "2", "3", "4"})])
def test_figures_of_a_version_that_is_gone_are_kept_for_a_while(
    several: bool, kept: float, versions: set[str], tmp_path: Path
) -> None:
    """In a process of its own, because the client decides at its import how figures are kept."""
    folder = {workers_figures.FOLDER: str(tmp_path)} if several else {}
    told = subprocess.run(
        [sys.executable, "-c", SWAPS, str(kept), str(tmp_path / "repository")],
        env=os.environ | folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(re.findall(r'model="sure".*version="(\d+)"', told.stdout)) == versions
    assert figure(told.stdout, "fanlight_batch_images_count", version="4") == 1
    requests = re.findall(r'fanlight_request_seconds_count{model="(\w*)"', told.stdout)
    assert set(requests) == {"sure", ""} | ({"old"} if kept else set())
    assert ('model="old"' in told.stdout) == bool(kept)
    assert not told.stderr


def test_what_was_answered_last_is_counted_when_a_version_goes(
    serve: Serve, repository: Path
) -> None:
    trusted.publish_trusted(repository)
    client = serve(watch_interval=0.01)
    images = parts(*(encode(trusted.image(each)) for each in trusted.familiar(7, 8)))
    assert client.post("/v1/models/sure/predict", files=images).status_code == 200
    shutil.rmtree(repository / "sure")
    until(lambda: client.get("/v1/models/sure").status_code == 404)
    assert figure(client.get("/metrics").text, "fanlight_answers_total", model="sure") == 8


def test_a_version_of_many_labels_has_few_figures() -> None:
    told = Metrics()
    labels = [f"label{number}" for number in range(version_figures.MOST_LABELS + 50)]
    told.versions.arrived("many", 1, labels, Counts([1] * len(labels), [0] * 10, [0] * 10, {}))
    text = told.exposition().decode()
    assert text.count("fanlight_answers_total{") == version_figures.MOST_LABELS + 1
    assert figure(text, "fanlight_answers_total", label=version_figures.OTHERS) == 50


def test_models_and_their_runtimes(
    serve: Serve, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(watch_interval=0.01, graph_cache=tmp_path / "graphs")
    text = client.get("/metrics").text
    assert figure(text, "fanlight_model_ready", model="colors", runtime="onnx") == 2
    assert figure(text, "fanlight_runtime_fallback") == 0

    def refused(_checkpoint: Checkpoint) -> bytes:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(onnx_runtime, "export", refused)
    publish_tiny(repository, seed=2)

    def is_ready(version: str) -> bool:
        return figure(client.get("/metrics").text, "fanlight_model_ready", version=version) == 1

    until(lambda: is_ready("3"))
    text = client.get("/metrics").text
    assert figure(text, "fanlight_model_ready", version="3", runtime="torch") == 1
    assert figure(text, "fanlight_runtime_fallback", version="3") == 1
    shutil.rmtree(repository / "colors" / "3")
    until(lambda: not is_ready("3"))
    assert figure(client.get("/metrics").text, "fanlight_runtime_fallback") == 0
