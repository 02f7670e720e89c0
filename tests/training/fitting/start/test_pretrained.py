"""Training starts from weights that are there: all of them but the head of other classes."""

from pathlib import Path

import pytest
import torch

from models.architectures import registry
from models.checkpoint import CheckpointError
from models.errors import OptionError
from tests.networks import Tiny
from training.fitting import state
from training.fitting.start import pretrained
from training.recipes.recipe import Recipe

TORCHVISION = "torchvision/shufflenet_v2_x0_5"


def tiny(num_classes: int, seed: int, n_channel: int = 4) -> Tiny:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Tiny(num_classes, n_channel)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Of a network for three classes."""
    torch.save(tiny(3, seed=1).state_dict(), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def test_as_many_classes_take_the_head_too(weights: Path) -> None:
    network = tiny(3, seed=0)
    pretrained.start_from(network, "tiny", str(weights))
    own, theirs = network.state_dict(), tiny(3, seed=1).state_dict()
    assert all(torch.equal(own[name], theirs[name]) for name in theirs)


def test_other_classes_keep_a_new_head(weights: Path) -> None:
    network = tiny(5, seed=0)
    head = network.fc.weight.detach().clone()
    pretrained.start_from(network, "tiny", str(weights))
    assert torch.equal(network.conv.weight, tiny(3, seed=1).conv.weight)
    assert torch.equal(network.fc.weight, head)


def test_a_recipe_asks_for_it(weights: Path) -> None:
    recipe = Recipe("c", "c", "tiny", 1, 4, "sgd", 0.1, pretrained=str(weights))
    network = state.build_network(recipe, 2, torch.device("cpu"))
    assert torch.equal(network.get_parameter("conv.weight"), tiny(3, seed=1).conv.weight)
    assert network.get_parameter("fc.weight").shape == (2, 4)


def test_more_than_the_head_is_other(weights: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"conv.weight has the shape 4×3×3×3 in the file, and 8×"
    ):
        pretrained.start_from(tiny(3, seed=0, n_channel=8), "tiny", str(weights))


def test_weights_of_another_network(weights: Path) -> None:
    problem = r"weights.pt: it is another network: of the 10 tensors of lenet the file has 0"
    with pytest.raises(CheckpointError, match=problem):
        pretrained.start_from(registry.architecture("lenet").build(3), "lenet", str(weights))


@pytest.mark.parametrize("name", ["missing.pt", "text.pt"])
def test_files_that_hold_no_weights(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(CheckpointError, match=f"{name} (can't be read|is no file of weights)"):
        pretrained.start_from(tiny(3, seed=0), "tiny", str(tmp_path / name))


def test_own_architectures_have_nothing_to_download() -> None:
    with pytest.raises(OptionError, match="tiny has no weights to download; name a file, or"):
        pretrained.start_from(tiny(3, seed=0), "tiny", "download")


def test_a_download_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody answers there
    monkeypatch.delenv("no_proxy", raising=False)
    network = registry.architecture(TORCHVISION).build(3)
    with pytest.raises(CheckpointError, match=r"could not be downloaded .*; give a file that"):
        pretrained.start_from(network, TORCHVISION, "download")


def test_torchvisions_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From torch's cache, in a file as old as theirs: without the counters of batches."""
    theirs = registry.architecture(TORCHVISION).build(1000).state_dict()
    kept = {
        name: value for name, value in theirs.items() if not name.endswith("num_batches_tracked")
    }
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(kept, cache / "shufflenetv2_x0.5-f707e7126e.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    network = registry.architecture(TORCHVISION).build(3)
    pretrained.start_from(network, TORCHVISION, "download")
    own = network.state_dict()
    assert {name for name in theirs if theirs[name].shape != own[name].shape} == {
        "fc.weight",
        "fc.bias",
    }
    assert all(torch.equal(own[name], kept[name]) for name in kept if not name.startswith("fc."))
