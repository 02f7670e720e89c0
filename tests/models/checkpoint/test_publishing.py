"""A version appears whole, describes its network, and is never changed."""

import hashlib
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import checkpoint
from models.architectures import registry
from models.checkpoint import CheckpointError
from models.preprocessing import InputSpec
from tests.models.checkpoint.versions import (
    CPU,
    RECORD,
    everything,
    logits,
    tiny,
)
from tests.networks import LABELS, SPEC, Tiny, publish_tiny


class TestPublish:
    def test_a_loaded_checkpoint_gives_the_logits_of_the_published(
        self, tmp_path: Path, batch: Tensor
    ) -> None:
        network = tiny()
        card = checkpoint.publish(
            tmp_path,
            network,
            name="colors",
            architecture="tiny",
            labels=LABELS,
            input=SPEC,
            metrics={"test_accuracy": 0.9375},
            training=RECORD,
        )
        loaded = checkpoint.load(tmp_path / "colors" / "1", CPU)
        assert torch.equal(logits(loaded.network, batch), logits(network, batch))
        assert loaded.card == card
        assert card.training == RECORD
        assert card.metrics == {"test_accuracy": 0.9375}

    def test_the_card_describes_the_network(self, folder: Path) -> None:
        card = json.loads((folder / "card.json").read_bytes())
        weights = (folder / "weights.pt").read_bytes()
        assert card == {
            "format": 1,
            "name": "colors",
            "version": 1,
            "architecture": "tiny",
            "arguments": {},
            "labels": ["blue", "green", "red"],
            "input": {
                "channels": 3,
                "height": 8,
                "width": 8,
                "resize": "crop",
                "mean": [0.5, 0.5, 0.5],
                "std": [0.25, 0.25, 0.25],
            },
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
            "parameters": 127,
            "feature_layers": ["conv", "relu", "pool", "fc"],
            "metrics": {},
        }

    def test_the_weights_are_a_plain_state_dict(self, folder: Path) -> None:
        state_dict = torch.load(folder / "weights.pt", weights_only=True)
        assert {name: tuple(value.shape) for name, value in state_dict.items()} == {
            "conv.weight": (4, 3, 3, 3),
            "conv.bias": (4,),
            "fc.weight": (3, 4),
            "fc.bias": (3,),
        }

    def test_arguments_of_the_architecture_are_kept(self, tmp_path: Path) -> None:
        checkpoint.publish(
            tmp_path,
            registry.architecture("tiny").build(3, n_channel=6),
            name="wide",
            architecture="tiny",
            arguments={"n_channel": 6},
            labels=LABELS,
            input=SPEC,
        )
        loaded = checkpoint.load(tmp_path / "wide" / "1", CPU)
        assert loaded.card.arguments == {"n_channel": 6}
        assert loaded.network.get_parameter("conv.weight").shape == (6, 3, 3, 3)

    @pytest.mark.slow
    def test_weights_in_another_memory_format(self, tmp_path: Path, batch: Tensor) -> None:
        network = tiny()
        expected = logits(network, batch)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        checkpoint.publish(
            tmp_path, network, name="colors", architecture="tiny", labels=LABELS, input=SPEC
        )
        loaded = checkpoint.load(tmp_path / "colors" / "1", CPU).network
        assert loaded.get_parameter("conv.weight").is_contiguous()
        torch.testing.assert_close(logits(loaded, batch), expected)

    def test_versions_count_from_1(self, tmp_path: Path) -> None:
        assert [publish_tiny(tmp_path, seed=seed).version for seed in range(3)] == [1, 2, 3]
        assert checkpoint.versions(tmp_path / "colors") == [1, 2, 3]

    def test_the_next_version_follows_the_highest(self, folder: Path) -> None:
        publish_tiny(folder.parents[1])
        folder.rename(folder.with_name("41"))
        assert publish_tiny(folder.parents[1]).version == 42

    def test_a_stranger_at_the_next_number_is_passed_over(self, folder: Path) -> None:
        folder.with_name("2").write_text("a file")
        assert publish_tiny(folder.parents[1]).version == 3
        assert folder.with_name("2").read_text() == "a file"

    def test_each_model_counts_for_itself(self, tmp_path: Path) -> None:
        publish_tiny(tmp_path, "colors")
        assert publish_tiny(tmp_path, "shades").version == 1

    def test_a_published_version_never_changes(self, folder: Path) -> None:
        def contents() -> dict[str, tuple[bytes, int]]:
            return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}

        before = contents()
        publish_tiny(folder.parents[1], seed=1)
        assert contents() == before

    @pytest.mark.slow
    def test_many_at_once_get_versions_of_their_own(self, tmp_path: Path, batch: Tensor) -> None:
        networks = [tiny(seed) for seed in range(24)]

        def publish(network: Tiny) -> int:
            card = checkpoint.publish(
                tmp_path, network, name="colors", architecture="tiny", labels=LABELS, input=SPEC
            )
            return card.version

        with ThreadPoolExecutor(8) as pool:
            versions = list(pool.map(publish, networks))
        assert sorted(versions) == list(range(1, 25))
        for version, network in zip(versions, networks, strict=True):
            loaded = checkpoint.load(tmp_path / "colors" / str(version), CPU)
            assert loaded.card.version == version
            assert torch.equal(logits(loaded.network, batch), logits(network, batch))
        assert len(list((tmp_path / "colors").iterdir())) == 24

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"labels": ("blue", "green")}, r"shape \(1, 3\) where 2 labels need \(1, 2\)"),
            ({"labels": ("blue", "green", "green")}, "labels must differ"),
            ({"labels": ("blue", "green", "")}, "label 2 is empty: name it"),
            ({"labels": ("blue", "green", "\udcff")}, "is not UTF-8: rename it"),
            ({"labels": ("blue", "green", "r\u202eed")}, r"U\+202E.* rename it"),
            ({"labels": ("blue",)}, "needs two labels or more, not 1"),
            ({"input": InputSpec(channels=1, height=8, width=8)}, "does not take an input"),
            ({"architecture": "gigantic"}, "no architecture 'gigantic'"),
            ({"architecture": "mnist-cnn"}, "Missing key"),
            ({"metrics": {"test_loss": float("nan")}}, r"metrics\.test_loss.* finite"),
            ({"metrics": {"test_loss": float("inf")}}, r"metrics\.test_loss.* finite"),
        ],
    )
    def test_a_failure_leaves_neither_version_nor_draft(
        self, tmp_path: Path, fields: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(CheckpointError, match=message):
            publish_tiny(tmp_path, **fields)
        assert checkpoint.versions(tmp_path / "colors") == []
        assert everything(tmp_path) in ([], ["colors"])

    def test_a_network_that_diverged_is_not_published(self, tmp_path: Path) -> None:
        network = tiny()
        nn.init.constant_(network.fc.weight, float("nan"))
        with pytest.raises(CheckpointError, match="finite"):
            checkpoint.publish(
                tmp_path, network, name="colors", architecture="tiny", labels=LABELS, input=SPEC
            )
        assert checkpoint.versions(tmp_path / "colors") == []

    def test_a_full_disk_leaves_neither_version_nor_draft(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            publish_tiny(folder.parents[1])
        assert everything(folder.parent) == ["1", "1/card.json", "1/weights.pt"]

    @pytest.mark.parametrize(
        "name", ["", "Colors", ".colors", "-colors", "../colors", "a/b", "a b", "colors\n", "ä"]
    )
    def test_names_that_no_model_can_have(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(CheckpointError, match="can't name a model"):
            publish_tiny(tmp_path, name)
        assert everything(tmp_path) == []

    @pytest.mark.parametrize("name", ["a", "0", "mnist-cnn_2.1"])
    def test_names_that_a_model_can_have(self, tmp_path: Path, name: str) -> None:
        assert publish_tiny(tmp_path, name).name == name

    def test_others_may_read_a_version(self, folder: Path) -> None:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755

    def test_the_network_is_published_as_it_is_in_evaluation(self, tmp_path: Path) -> None:
        network = tiny().train()
        checkpoint.publish(
            tmp_path, network, name="colors", architecture="tiny", labels=LABELS, input=SPEC
        )
        assert not network.training

    def test_batch_statistics_are_published_untouched(self, tmp_path: Path) -> None:
        architecture = registry.architecture("birdplane-batchnorm")
        network = architecture.build(2)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        checkpoint.publish(
            tmp_path,
            network,
            name="birds",
            architecture="birdplane-batchnorm",
            labels=("airplane", "bird"),
            input=architecture.input,
        )
        after = checkpoint.load(tmp_path / "birds" / "1", CPU).network.state_dict()
        assert after.keys() == before.keys()
        assert all(torch.equal(after[name], before[name]) for name in before)
