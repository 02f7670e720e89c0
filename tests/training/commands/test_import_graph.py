"""`import net.onnx` publishes a graph of any framework, and says what it did."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper

from fanlight.command import main
from models import checkpoint
from models.checkpoint import CARD, GRAPH
from tests import graphs
from tests.graphs import LABELS, SIDE

pytestmark = pytest.mark.usefixtures("_graphs_are_tried_here")
CPU = torch.device("cpu")


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return graphs.save(graphs.keras_like(), tmp_path / "net.onnx")


def run(file: Path, *arguments: str) -> int:
    return main(["import", str(file), *arguments, "--repository", str(file.parent / "repository")])


def said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_the_published_graph_gives_the_same_probabilities(net: Path) -> None:
    resized = ("--resize-size", "40", "--interpolation", "bicubic", "--channels", "3")
    assert run(net, "--labels", *LABELS, "--mean", "0.5", "--std", "0.25", *resized) == 0
    folder = net.parent / "repository" / "net" / "1"
    assert sorted(each.name for each in folder.iterdir()) == [CARD, GRAPH]
    loaded = checkpoint.load(folder, CPU)
    assert loaded.card.architecture == "onnx"
    assert (loaded.card.input.mean, loaded.card.input.std) == ((0.5,) * 3, (0.25,) * 3)
    assert (loaded.card.input.resize_size, loaded.card.input.interpolation) == (40, "bicubic")
    assert loaded.card.parameters == graphs.KERNELS.size + graphs.HEAD.size
    batch = torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    expected = graphs.answer(graphs.keras_like(), batch.permute(0, 2, 3, 1).numpy())
    np.testing.assert_allclose(loaded.network(batch).softmax(1), expected, atol=1e-6)


def test_what_was_done_is_said(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(net, "--labels", *LABELS) == 0
    text = said(capsys)
    for part in ("channels last", "before its softmax", "pixels go in as 0 to 1", "net/1"):
        assert part in text


def test_a_graph_without_its_ending_is_known_by_its_bytes(net: Path) -> None:
    assert run(net.rename(net.with_name("net")), "--labels", *LABELS) == 0


def test_labels_of_scikit_learn_are_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = graphs.save(graphs.sklearn_like(), tmp_path / "digits.onnx")
    assert run(file) == 0
    card = checkpoint.read_card(tmp_path / "repository" / "digits" / "1")
    assert card.labels == LABELS
    assert "took the labels from the graph" in said(capsys)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "--labels needs 3 names"),
        (("--labels", "a", "b"), "--labels needs 3 names"),
        (("--labels", "a", "a", "b"), "labels must differ"),
        (("--labels", *LABELS, "--architecture", "lenet"), "leave out --architecture"),
        (("--labels", *LABELS, "--by-order", "--key", "x"), "leave out --key, --by-order"),
        (("--labels", *LABELS, "--channels", "1"), "takes images of 3, not 1"),
        (("--labels", *LABELS, "--mean", "1", "2"), "mean has 2 values"),
        (("--labels", *LABELS, "--layout", "nchw"), "--layout nchw does not fit"),
        (("--labels", *LABELS, "--name", "No Name"), "can't name a model"),
    ],
)
def test_what_does_not_fit_is_refused(
    net: Path, arguments: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(net, *arguments) in (1, 2)
    assert expected in said(capsys)
    assert not (net.parent / "repository").exists()


def test_other_labels_than_before_are_refused(
    net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(net, "--labels", *LABELS) == 0
    assert run(net, "--labels", *reversed(LABELS)) == 1
    assert "--labels-changed" in said(capsys)
    assert run(net, "--labels", *reversed(LABELS), "--labels-changed") == 0


@pytest.mark.parametrize(
    "content", [b"", b"\x08\x09", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"<html></html>"]
)
def test_what_is_no_graph_is_told(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(content)
    assert run(file, "--labels", *LABELS) == 1
    text = said(capsys)
    assert f"error: {file}: it is no " in text
    assert "Traceback" not in text


def test_options_of_graphs_are_not_for_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({}, tmp_path / "w.pt")
    assert run(tmp_path / "w.pt", "--labels", "a", "b") == 2
    assert "weights need --architecture" in said(capsys)
    assert run(tmp_path / "w.pt", "--architecture", "lenet") == 2
    assert "weights need --labels" in said(capsys)
    arguments = ("--labels", "a", "b", "--architecture", "lenet", "--layout", "nchw")
    assert run(tmp_path / "w.pt", *arguments) == 2
    assert "are for ONNX graphs" in said(capsys)


def test_metadata_that_makes_no_sense_is_passed_over(net: Path) -> None:
    model = graphs.keras_like()
    helper.set_model_props(model, {"fanlight.labels": "[[", "fanlight.input": "{}"})
    graphs.save(model, net)
    assert run(net, "--labels", *LABELS) == 0


class TestOtherCommands:
    """What works with torch's networks works with a graph, or says why not."""

    @pytest.fixture
    def repository(self, net: Path) -> Path:
        run(net, "--labels", *LABELS)
        return net.parent / "repository"

    def test_evaluate(
        self, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from tests.networks import picture

        for number, label in enumerate(LABELS):
            folder = tmp_path / "pictures" / "test" / label
            folder.mkdir(parents=True)
            (tmp_path / "pictures" / "train" / label).mkdir(parents=True)
            for seed in range(2):
                picture(10 * number + seed).save(folder / f"{seed}.png")
                picture(10 * number + seed + 5).save(
                    tmp_path / "pictures" / "train" / label / f"{seed}.png"
                )
        command = ["evaluate", "net", "--repository", str(repository)]
        assert main([*command, "--dataset", str(tmp_path / "pictures")]) == 0
        assert "accuracy" in said(capsys)

    def test_profile_says_why_not(
        self, repository: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["profile", "net", "--repository", str(repository)]) == 2
        assert "profile measures the layers of networks of torch" in said(capsys)

    def test_visualize(self, repository: Path, tmp_path: Path) -> None:
        from tests.networks import picture

        picture(0).save(tmp_path / "p.png")
        common = ["--repository", str(repository), "--output", str(tmp_path / "drawn")]
        assert main(["visualize", "features", "net", str(tmp_path / "p.png"), *common]) == 0
        assert main(["visualize", "kernels", "net", *common]) == 0
        assert main(["visualize", "weights", "net", *common]) == 0
        assert len(list((tmp_path / "drawn").iterdir())) == 3


def test_the_card_names_the_file_that_its_digest_is_of(net: Path) -> None:
    import hashlib

    run(net, "--labels", *LABELS)
    folder = net.parent / "repository" / "net" / "1"
    card = json.loads((folder / CARD).read_text())
    assert card["weights_sha256"] == hashlib.sha256((folder / GRAPH).read_bytes()).hexdigest()
    assert card["format"] == 1
