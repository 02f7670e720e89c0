"""`export` writes a model for other programs; the file answers as the network does."""

import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from fanlight.command import main
from models import checkpoint
from models.checkpoint import Checkpoint, weights_file
from tests.networks import LABELS, SPEC, publish_tiny
from training.exporting import format as exporting
from training.exporting.format import FORMATS, ExportFormat, Options

pytestmark = pytest.mark.usefixtures("_graphs_are_tried_here")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    for seed in (0, 1):
        publish_tiny(folder, seed=seed)
    return folder


@pytest.fixture
def run(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def export(*arguments: str) -> int:
        return main(["export", "colors", *arguments, "--repository", str(repository)])

    return export


@pytest.fixture
def loaded(repository: Path) -> Checkpoint:
    return checkpoint.load(repository / "colors" / "2", CPU)


@pytest.fixture
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (5, *SPEC.shape), dtype=torch.uint8, generator=generator)


@pytest.fixture
def expected(loaded: Checkpoint, pixels: Tensor) -> Any:
    with torch.inference_mode():
        return loaded.network(SPEC.normalize(pixels)).numpy()


def softmax(logits: Any) -> Any:
    return torch.as_tensor(logits).softmax(1).numpy()


def test_onnx(run: Any, pixels: Tensor, expected: Any) -> None:
    assert run("--format", "onnx") == 0
    session = onnxruntime.InferenceSession("colors-2.onnx", providers=["CPUExecutionProvider"])
    [answer] = session.run(["logits"], {"image": SPEC.normalize(pixels).numpy()})
    np.testing.assert_allclose(answer, expected, atol=1e-5)
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["fanlight.labels"]) == list(LABELS)
    assert json.loads(told["fanlight.input"])["mean"] == list(SPEC.mean)
    assert (told["fanlight.model"], told["fanlight.version"]) == ("colors", "2")


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_onnx_with_preprocessing(run: Any, pixels: Tensor, expected: Any, layout: str) -> None:
    assert run("--preprocessing", "--layout", layout, "-o", "whole.onnx") == 0
    session = onnxruntime.InferenceSession("whole.onnx", providers=["CPUExecutionProvider"])
    batch = pixels if layout == "nchw" else pixels.permute(0, 2, 3, 1)
    [answer] = session.run(["probabilities"], {"pixels": batch.contiguous().numpy()})
    np.testing.assert_allclose(answer, softmax(expected), atol=1e-6)


def test_torch_export(run: Any, pixels: Tensor, expected: Any) -> None:
    assert run("--format", "torch-export") == 0
    extra = {"fanlight.labels": ""}
    program = torch.export.load("colors-2.pt2", extra_files=extra)
    answer = program.module()(SPEC.normalize(pixels)).detach().numpy()
    np.testing.assert_allclose(answer, expected, atol=1e-5)
    assert json.loads(extra["fanlight.labels"]) == list(LABELS)


def test_safetensors(run: Any, loaded: Checkpoint) -> None:
    from safetensors import safe_open

    assert run("--format", "safetensors") == 0
    with safe_open("colors-2.safetensors", "pt") as file:
        assert json.loads(file.metadata()["fanlight.labels"]) == list(LABELS)
        assert file.metadata()["fanlight.architecture"] == "tiny"
        for name, value in loaded.network.state_dict().items():
            assert torch.equal(file.get_tensor(name), value)


def test_state_dict(run: Any, loaded: Checkpoint) -> None:
    assert run("--format", "state_dict", "--version", "1", "--output", "w.pt") == 0
    content = Path("w.pt").read_bytes()
    weights_file.check(io.BytesIO(content), len(content))
    found = torch.load("w.pt", weights_only=True)
    assert found.keys() == loaded.network.state_dict().keys()


@pytest.mark.parametrize(
    "arguments",
    [("--layout", "nchw"), ("--preprocessing",), ("--preprocessing", "--layout", "nhwc")],
)
def test_what_is_exported_can_be_imported(
    run: Any, tmp_path: Path, pixels: Tensor, expected: Any, arguments: tuple[str, ...]
) -> None:
    """The labels come along, and so do mean and deviation."""
    assert run(*arguments, "-o", "back.onnx") == 0
    assert main(["import", "back.onnx", "--repository", "again"]) == 0
    again = checkpoint.load(tmp_path / "again" / "back" / "1", CPU)
    assert again.card.labels == LABELS
    answer = again.network(again.card.input.normalize(pixels)).softmax(1)
    np.testing.assert_allclose(answer, softmax(expected), atol=1e-5)


@pytest.mark.parametrize(
    ("form", "arguments"),
    [
        ("safetensors", ("--architecture", "tiny", "--labels", *LABELS)),
        ("state_dict", ("--architecture", "tiny", "--labels", *LABELS)),
    ],
)
def test_weights_can_be_imported(
    run: Any, tmp_path: Path, form: str, arguments: tuple[str, ...]
) -> None:
    assert run("--format", form, "-o", "back.bin") == 0
    assert main(["import", "back.bin", *arguments, "--repository", "again"]) == 0


def test_an_imported_graph_goes_out_as_onnx_only(
    run: Any, tmp_path: Path, pixels: Tensor, expected: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("-o", "back.onnx") == 0
    assert main(["import", "back.onnx", "--repository", "again"]) == 0
    again = ["export", "back", "--repository", "again"]
    assert main([*again, "--preprocessing", "-o", "third.onnx"]) == 0
    session = onnxruntime.InferenceSession("third.onnx", providers=["CPUExecutionProvider"])
    [answer] = session.run(None, {"pixels": pixels.numpy()})
    np.testing.assert_allclose(answer, softmax(expected), atol=1e-5)
    assert main([*again, "--format", "safetensors"]) == 1
    assert "export it as onnx" in capsys.readouterr().err


def test_a_file_is_replaced_only_by_force(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "w.pt"
    file.write_text("precious")
    assert run("--format", "state_dict", "-o", str(file)) == 1
    assert "--force" in capsys.readouterr().err
    assert file.read_text() == "precious"
    assert run("--format", "state_dict", "-o", str(file), "--force") == 0
    assert file.read_bytes()[:2] == b"PK"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--format", "tflite"), 2, "no export format 'tflite'; "),
        (("--format", "state_dict", "--preprocessing"), 2, "--preprocessing is for onnx"),
        (("--layout", "nhwc"), 2, "--preprocessing"),
        (("-o", "nowhere/net.onnx"), 1, "there is no folder nowhere"),
        (("-o", "."), 1, "is a folder"),
        (("--version", "9"), 1, "no version 9"),
    ],
)
def test_what_cannot_be_is_refused(
    run: Any,
    tmp_path: Path,
    arguments: tuple[str, ...],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(*arguments) == status
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def wrong() -> Iterator[None]:
    """Formats whose files answer otherwise, or can't be written."""

    def fail(*_: Any) -> bytes:
        raise RuntimeError("an operator\nis missing")

    def open_wrong(*_: Any) -> Any:
        return lambda pixels: torch.full((len(pixels), 3), 1 / 3)

    def open_nan(_content: bytes, loaded: Checkpoint, _options: Options) -> Any:
        answered: list[Tensor] = []

        def run(pixels: Tensor) -> Tensor:
            right = exporting.expected(loaded, pixels)
            answered.append(right)
            return right if len(answered) == 1 else torch.full_like(right, math.nan)

        return run

    with FORMATS.restored():
        for name, write, opened in (
            ("wrong", lambda *_: b"x", open_wrong),
            ("later-nan", lambda *_: b"x", open_nan),
            ("failing", fail, open_wrong),
        ):
            FORMATS.register(ExportFormat(name, "No good.", ".x", write, opened))
        yield


@pytest.mark.usefixtures("wrong")
@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("wrong", "answers otherwise"),
        ("later-nan", "answers otherwise than in torch, by nan"),
        ("failing", "an operator is missing"),
    ],
)
def test_nothing_appears_that_is_not_right(
    run: Any, tmp_path: Path, form: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--format", form) == 1
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_graphs_are_valid(run: Any) -> None:
    assert run("--preprocessing") == 0
    onnx.checker.check_model(onnx.load("colors-2.onnx"), full_check=True)


def test_help_names_the_formats() -> None:
    assert [each for each in FORMATS.names() if each in exporting.describe()] == [
        "onnx",
        "safetensors",
        "state_dict",
        "torch-export",
    ]
