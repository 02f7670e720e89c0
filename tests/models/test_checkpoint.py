"""A checkpoint appears whole, is never changed, and is not loaded unless everything fits."""

import hashlib
import json
import os
import pickle
import stat
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import checkpoint
from models.architectures import registry
from models.checkpoint import CheckpointError, TrainingRecord
from models.preprocessing import InputSpec
from tests.networks import LABELS, SPEC, Tiny, picture, publish_tiny

CPU = torch.device("cpu")
RECORD = TrainingRecord(
    recipe={"architecture": "tiny", "epochs": 3, "flip": True, "l2": 0.001},
    dataset="colors",
    seed=7,
    epochs=3,
    selected_epoch=2,
    seconds=1.5,
    device="cpu",
    torch=torch.__version__,
    commit="0123abc",
    finished="2026-01-31T12:00:00+00:00",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Version 1 of the model `colors`."""
    publish_tiny(tmp_path)
    return tmp_path / "colors" / "1"


@pytest.fixture
def batch() -> Tensor:
    return SPEC.normalize(torch.stack([SPEC.pixels(picture(seed)) for seed in range(4)]))


def tiny(seed: int = 0) -> Tiny:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Tiny(len(LABELS))


def logits(network: nn.Module, batch: Tensor) -> Tensor:
    with torch.inference_mode():
        result: Tensor = network(batch)
    return result


def saved(content: object) -> bytes:
    buffer = BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def change_card(folder: Path, **fields: Any) -> None:
    """Replace fields of the card; None removes one."""
    path = folder / "card.json"
    card = json.loads(path.read_bytes()) | fields
    path.write_text(json.dumps({name: v for name, v in card.items() if v is not None}))


def put_weights(folder: Path, content: bytes) -> None:
    """Replace the weights, and state their SHA-256 in the card."""
    (folder / "weights.pt").write_bytes(content)
    change_card(folder, weights_sha256=hashlib.sha256(content).hexdigest())


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


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


class TestLoad:
    def test_the_network_is_in_evaluation_mode_on_the_device(self, folder: Path) -> None:
        loaded = checkpoint.load(folder, CPU)
        assert loaded.device == CPU
        assert not any(module.training for module in loaded.network.modules())
        assert {parameter.device for parameter in loaded.network.parameters()} == {CPU}

    def test_loading_does_not_touch_the_files(self, folder: Path) -> None:
        before = everything(folder)
        checkpoint.load(folder, CPU)
        assert everything(folder) == before

    @pytest.mark.gpu
    def test_on_the_gpu_it_gives_the_same_logits(self, folder: Path, batch: Tensor) -> None:
        device = torch.device("cuda", 0)
        loaded = checkpoint.load(folder, device)
        assert {parameter.device for parameter in loaded.network.parameters()} == {device}
        torch.testing.assert_close(
            logits(loaded.network, batch.to(device)).cpu(),
            logits(checkpoint.load(folder, CPU).network, batch),
            atol=1e-3,
            rtol=1e-3,
        )

    @pytest.mark.gpu
    def test_a_network_is_published_from_the_gpu(self, tmp_path: Path, batch: Tensor) -> None:
        network = tiny()
        expected = logits(network, batch)
        checkpoint.publish(
            tmp_path, network.cuda(), name="colors", architecture="tiny", labels=LABELS, input=SPEC
        )
        state_dict = torch.load(tmp_path / "colors" / "1" / "weights.pt", weights_only=True)
        assert {value.device for value in state_dict.values()} == {CPU}
        loaded = checkpoint.load(tmp_path / "colors" / "1", CPU)
        assert torch.equal(logits(loaded.network, batch), expected)

    def test_changed_weights(self, folder: Path) -> None:
        weights = folder / "weights.pt"
        content = bytearray(weights.read_bytes())
        content[len(content) // 2] ^= 1
        weights.write_bytes(content)
        with pytest.raises(CheckpointError, match="does not have the SHA-256"):
            checkpoint.load(folder, CPU)

    def test_truncated_weights(self, folder: Path) -> None:
        put_weights(folder, (folder / "weights.pt").read_bytes()[:-100])
        with pytest.raises(CheckpointError, match=r"not a file that torch\.load"):
            checkpoint.load(folder, CPU)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda state: state.pop("fc.bias"), r'for Tiny: Missing key.*"fc\.bias"'),
            (
                lambda state: state.update({"fc2.bias": torch.zeros(3)}),
                r'for Tiny: Unexpected.*"fc2\.bias"',
            ),
            (
                lambda state: state.update({"fc.bias": torch.zeros(4)}),
                r"for Tiny: size mismatch for fc\.bias",
            ),
        ],
        ids=["missing", "extra", "shape"],
    )
    def test_a_state_dict_that_does_not_fit(
        self, folder: Path, change: Callable[[dict[str, Tensor]], object], message: str
    ) -> None:
        state_dict = dict(tiny().state_dict())
        change(state_dict)
        put_weights(folder, saved(state_dict))
        with pytest.raises(CheckpointError, match=message):
            checkpoint.load(folder, CPU)

    @pytest.mark.parametrize(
        "content",
        [
            [torch.zeros(3)],
            {"fc.bias": 3},
            {3: torch.zeros(3)},
            {"model": {"fc.bias": torch.zeros(3)}},
        ],
        ids=["list", "number", "numbered", "nested"],
    )
    def test_weights_that_are_no_state_dict(self, folder: Path, content: object) -> None:
        put_weights(folder, saved(content))
        with pytest.raises(CheckpointError, match="must be a state_dict"):
            checkpoint.load(folder, CPU)

    def test_weights_that_are_not_finite(self, folder: Path) -> None:
        state_dict = dict(tiny().state_dict())
        state_dict["fc.bias"] = torch.full((3,), float("inf"))
        put_weights(folder, saved(state_dict))
        with pytest.raises(CheckpointError, match="finite"):
            checkpoint.load(folder, CPU)

    @pytest.mark.parametrize("name", ["card.json", "weights.pt"])
    def test_a_missing_file(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        with pytest.raises(CheckpointError, match=f"{name} can't be read: No such file"):
            checkpoint.load(folder, CPU)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"name": "shades"}, "is of shades/1, but lies in the folder colors/1"),
            ({"version": 2}, "is of colors/2, but lies in the folder colors/1"),
            ({"architecture": "huge"}, "no architecture 'huge'"),
            ({"arguments": {"width": 3}}, "'tiny' can't be built with"),
            ({"arguments": {"num_classes": 3}}, "'tiny' can't be built with"),
            ({"labels": ["blue", "green"]}, "size mismatch for fc"),
            ({"labels": ["blue", "blue", "red"]}, "labels: .*labels must differ"),
            ({"labels": []}, "labels: .*two labels or more, not 0"),
            ({"labels": ["blue"]}, "labels: .*two labels or more, not 1"),
            ({"labels": ["blue", "", "red"]}, "labels: .*label 1 is empty: name it"),
            ({"labels": ["blue", " ", "red"]}, "labels: .*label 1 is empty: name it"),
            ({"labels": ["blue", "a\nb", "red"]}, r"labels: .*'a\\nb' has the character U\+000A"),
            ({"labels": None}, "labels: Field required"),
            ({"format": 2}, "format: "),
            ({"version": 0}, "version: "),
            ({"name": "Colors"}, "name: "),
            ({"weights_sha256": "0" * 63}, "weights_sha256: "),
            ({"weights_sha256": "0" * 64}, "does not have the SHA-256"),
            ({"metrics": {"test_loss": float("nan")}}, r"metrics\.test_loss: "),
            ({"input": {"channels": 3, "height": 8}}, r"input\.width: Field required"),
            ({"input": {"channels": 1, "height": 8, "width": 8}}, "does not take an input"),
            ({"pickle": "cposix"}, "pickle: Extra inputs"),
        ],
    )
    def test_a_card_that_does_not_fit(
        self, folder: Path, fields: dict[str, Any], message: str
    ) -> None:
        change_card(folder, **fields)
        with pytest.raises(CheckpointError, match=message):
            checkpoint.load(folder, CPU)

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"name": 1}'])
    def test_a_malformed_card(self, folder: Path, content: bytes) -> None:
        (folder / "card.json").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"^card\.json: "):
            checkpoint.load(folder, CPU)

    def test_an_oversized_card_is_not_read(self, folder: Path) -> None:
        with (folder / "card.json").open("ab") as file:
            file.write(b" " * 5 * 2**20)
        with pytest.raises(CheckpointError, match="larger than 4,194,304 bytes"):
            checkpoint.load(folder, CPU)

    def test_a_card_in_another_place(self, folder: Path) -> None:
        moved = folder.rename(folder.with_name("7"))
        with pytest.raises(CheckpointError, match="lies in the folder colors/7"):
            checkpoint.load(moved, CPU)

    def test_a_card_that_is_a_pipe_is_not_waited_for(self, folder: Path) -> None:
        (folder / "card.json").unlink()
        os.mkfifo(folder / "card.json")
        with pytest.raises(CheckpointError, match=r"card\.json is not a file, but a named pipe"):
            checkpoint.load(folder, CPU)

    @pytest.mark.parametrize("name", ["card.json", "weights.pt"])
    def test_what_is_no_file_of_the_repository(self, folder: Path, name: str) -> None:
        path = folder / name
        path.rename(folder.parents[1].with_name("elsewhere"))
        path.symlink_to(folder.parents[1].with_name("elsewhere"))
        with pytest.raises(CheckpointError, match=f"{name} is a link to .* outside of the reposi"):
            checkpoint.load(folder, CPU)
        path.unlink()
        path.mkdir()
        with pytest.raises(CheckpointError, match=f"{name} is not a file, but a folder"):
            checkpoint.load(folder, CPU)

    def test_a_folder_that_is_a_link_out_of_the_repository(
        self, folder: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other" / "colors"
        other.mkdir(parents=True)
        (other / "1").symlink_to(folder)
        with pytest.raises(CheckpointError, match=r"card\.json is a link to .* outside"):
            checkpoint.load(other / "1", CPU)

    def test_links_within_the_repository(self, folder: Path) -> None:
        (folder / "weights.pt").rename(folder / "data")
        (folder / "weights.pt").symlink_to("data")
        assert checkpoint.load(folder, CPU).card.name == "colors"

    def test_weights_of_too_many_bytes(self, folder: Path) -> None:
        size = (folder / "weights.pt").stat().st_size
        assert checkpoint.load(folder, CPU, size).card.name == "colors"
        with pytest.raises(CheckpointError, match=r"at most .* \(setting max_checkpoint_bytes\)"):
            checkpoint.load(folder, CPU, size - 1)

    def test_a_card_of_very_many_values(self, folder: Path) -> None:
        change_card(folder, arguments={"n_channel": [{}] * 300_000})
        with pytest.raises(CheckpointError, match="more than 250,000 values"):
            checkpoint.load(folder, CPU)

    def test_names_in_a_card_are_told_without_control_characters(self, folder: Path) -> None:
        change_card(folder, **{"a\nb\u202e": 1})
        with pytest.raises(CheckpointError, match=r"a\\nb\\u202e: Extra inputs"):
            checkpoint.load(folder, CPU)

    @pytest.mark.parametrize("image", ["white", "grey", "noise"])
    def test_a_network_without_a_finite_answer(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, image: str
    ) -> None:
        """It answers black images, which is all that some look at."""
        forward = Tiny.forward
        looks_so: dict[str, Callable[[Tensor], bool]] = {
            "white": lambda x: bool((x > 1.9).all()),
            "grey": lambda x: bool((x.abs() < 0.1).all()),
            "noise": lambda x: float(x.std()) > 0.1,
        }

        def overflowing(self: Tiny, x: Tensor) -> Tensor:
            logits = forward(self, x)
            return logits + torch.inf if looks_so[image](x) else logits

        monkeypatch.setattr(Tiny, "forward", overflowing)
        with pytest.raises(CheckpointError, match=f"{image}.* not a finite number; train it again"):
            checkpoint.load(folder, CPU)


class TestChanges:
    def test_none(self, folder: Path) -> None:
        stamps = checkpoint.load(folder, CPU).stamps
        assert checkpoint.changes(folder, stamps) == (None, stamps)

    def test_none_if_only_the_time_differs(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stamps = checkpoint.load(folder, CPU).stamps
        os.utime(folder / "weights.pt", (0, 0))
        reason, stamps = checkpoint.changes(folder, stamps)
        assert reason is None
        monkeypatch.setattr(hashlib, "file_digest", None)  # nor is it read again
        assert checkpoint.changes(folder, stamps) == (None, stamps)

    @pytest.mark.parametrize("name", ["card.json", "weights.pt"])
    def test_of_each_file(self, folder: Path, name: str) -> None:
        stamps = checkpoint.load(folder, CPU).stamps
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + b" ")
        assert checkpoint.changes(folder, stamps)[0] == f"{name} is not the one that was loaded"
        (folder / name).unlink()
        assert checkpoint.changes(folder, stamps)[0] == f"{name} was removed"
        os.mkfifo(folder / name)
        assert f"{name} is not a file" in str(checkpoint.changes(folder, stamps)[0])
        (folder / name).unlink()
        (folder / name).write_bytes(content)
        assert checkpoint.changes(folder, stamps)[0] is None

    def test_a_folder_that_is_gone_says_nothing(self, folder: Path) -> None:
        stamps = checkpoint.load(folder, CPU).stamps
        folder.rename(folder.with_name("9"))
        with pytest.raises(FileNotFoundError):
            checkpoint.changes(folder, stamps)


class TestLabels:
    @pytest.mark.parametrize(
        "label",
        [
            *("\0", "a\tb", "a\nb", "\x1b[31mred", "\x7f", "a\x85b", "\u200b", "\u200fa"),
            *("\u202ea", "a\u2028b", "a\u2029b", "\u2066a\u2069", "\ufeffa", "so\u00adft"),
        ],
        ids=ascii,
    )
    def test_characters_that_are_not_seen(self, label: str) -> None:
        problem = checkpoint.label_problem(("blue", label, "red"))
        assert problem is not None
        assert "rename it" in problem
        assert problem.isascii()

    @pytest.mark.parametrize(
        "label",
        [
            *("größe", "鳥", "می\u200cخو", "👩\u200d🔬"),
            *("a b", "a\u00a0b", "\u0601", "e\u0301"),
        ],
        ids=ascii,
    )
    def test_characters_of_all_scripts(self, label: str) -> None:
        assert checkpoint.label_problem(("blue", label, "red")) is None

    def test_very_many_or_very_long_ones(self) -> None:
        assert "at most 100,000" in str(checkpoint.label_problem(tuple(map(str, range(100_001)))))
        assert "at most 1,000" in str(checkpoint.label_problem(("a" * 1001, "b")))

    def test_too_little_memory_is_not_blamed_on_the_checkpoint(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def exhausted(*_: object) -> None:
            raise torch.OutOfMemoryError("the device is full")

        monkeypatch.setattr(Tiny, "forward", exhausted)
        with pytest.raises(torch.OutOfMemoryError):
            checkpoint.load(folder, CPU)

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="can't be read"):
            checkpoint.load(tmp_path / "colors" / "1", CPU)

    def test_read_card_needs_no_weights(self, folder: Path) -> None:
        expected = checkpoint.load(folder, CPU).card
        (folder / "weights.pt").unlink()
        assert checkpoint.read_card(folder) == expected


class Harmful:
    """Unpickling it would make the folder `harm`."""

    def __init__(self, harm: Path) -> None:
        self.harm = harm

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.harm),)


class TestReadStateDict:
    def test_a_file_of_torch_save(self, tmp_path: Path) -> None:
        state_dict = tiny().state_dict()
        torch.save(state_dict, tmp_path / "weights.pt")
        read = checkpoint.read_state_dict(tmp_path / "weights.pt", CPU)
        assert list(read) == list(state_dict)
        assert all(torch.equal(read[name], state_dict[name]) for name in read)

    def test_a_file_of_an_older_torch(self, tmp_path: Path) -> None:
        state_dict = tiny().state_dict()
        torch.save(state_dict, tmp_path / "weights.pt", _use_new_zipfile_serialization=False)
        assert list(checkpoint.read_state_dict(tmp_path / "weights.pt", CPU)) == list(state_dict)

    def test_a_pickled_module_is_refused(self, tmp_path: Path) -> None:
        torch.save(tiny(), tmp_path / "module.pt")
        with pytest.raises(CheckpointError, match=r"torch\.save\(network\.state_dict\(\).*Tiny"):
            checkpoint.read_state_dict(tmp_path / "module.pt", CPU)

    @pytest.mark.parametrize("how", ["zip", "pickle"])
    def test_code_in_a_pickle_is_not_run(self, tmp_path: Path, how: str) -> None:
        harm, path = tmp_path / "harm", tmp_path / "weights.pt"
        if how == "zip":
            torch.save({"fc.bias": Harmful(harm)}, path)
        else:
            path.write_bytes(pickle.dumps({"fc.bias": Harmful(harm)}, protocol=2))
        with pytest.raises(CheckpointError, match="weights_only=True"):
            checkpoint.read_state_dict(path, CPU)
        assert not harm.exists()

    def test_nor_is_it_when_a_checkpoint_is_loaded(self, folder: Path, tmp_path: Path) -> None:
        put_weights(folder, saved({"fc.bias": Harmful(tmp_path / "harm")}))
        with pytest.raises(CheckpointError, match="weights_only=True"):
            checkpoint.load(folder, CPU)
        assert not (tmp_path / "harm").exists()

    @pytest.mark.parametrize("content", [b"", b"1", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n"])
    def test_what_torch_did_not_save(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "weights.pt").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"not a file that torch\.load") as caught:
            checkpoint.read_state_dict(tmp_path / "weights.pt", CPU)
        assert "will likely succeed" not in str(caught.value)  # torch's advice to trust the file

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="can't be read: No such file"):
            checkpoint.read_state_dict(tmp_path / "weights.pt", CPU)

    def test_weights_go_to_the_device_asked_for(self, tmp_path: Path) -> None:
        torch.save(tiny().state_dict(), tmp_path / "weights.pt")
        read = checkpoint.read_state_dict(tmp_path / "weights.pt", torch.device("meta"))
        assert {value.device.type for value in read.values()} == {"meta"}

    def test_weights_saved_on_a_gpu_can_be_read_without_one(self, tmp_path: Path) -> None:
        state_dict = tiny().state_dict()
        with (
            zipfile.ZipFile(BytesIO(saved(state_dict))) as here,
            zipfile.ZipFile(tmp_path / "weights.pt", "w") as there,
        ):
            for name in here.namelist():
                content = here.read(name)
                if name.endswith("/data.pkl"):
                    device, elsewhere = b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:9"
                    assert device in content
                    content = content.replace(device, elsewhere)
                there.writestr(name, content)
        read = checkpoint.read_state_dict(tmp_path / "weights.pt", CPU)
        assert all(torch.equal(read[name], state_dict[name]) for name in state_dict)


class TestFind:
    def test_the_highest_version(self, repository: Path) -> None:
        assert checkpoint.find(repository, "colors") == repository / "colors" / "2"

    def test_the_highest_is_not_the_last_by_name(self, repository: Path) -> None:
        (repository / "colors" / "2").rename(repository / "colors" / "10")
        publish_tiny(repository)
        (repository / "colors" / "11").rename(repository / "colors" / "9")
        assert checkpoint.versions(repository / "colors") == [1, 9, 10]
        assert checkpoint.find(repository, "colors").name == "10"

    def test_a_version_by_its_number(self, repository: Path) -> None:
        assert checkpoint.find(repository, "colors", 1) == repository / "colors" / "1"

    @pytest.mark.parametrize("version", [3, 0, -1])
    def test_an_unknown_version(self, repository: Path, version: int) -> None:
        with pytest.raises(CheckpointError, match="'colors'; there are: 1, 2"):
            checkpoint.find(repository, "colors", version)

    @pytest.mark.parametrize("name", ["shades", "", ".", "..", "colors/1"])
    def test_an_unknown_model(self, repository: Path, name: str) -> None:
        with pytest.raises(CheckpointError, match=f"no model '{name}' .*there are: colors"):
            checkpoint.find(repository, name)

    def test_an_empty_repository(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="there are: none"):
            checkpoint.find(tmp_path, "colors")
        with pytest.raises(CheckpointError, match=r"no folder .*missing, in which 'colors'"):
            checkpoint.find(tmp_path / "missing", "colors")

    def test_a_model_without_versions(self, tmp_path: Path) -> None:
        (tmp_path / "colors").mkdir()
        with pytest.raises(CheckpointError, match="no version at all of 'colors'"):
            checkpoint.find(tmp_path, "colors")

    def test_drafts_and_strangers_are_no_versions(self, repository: Path) -> None:
        model = repository / "colors"
        for name in (".draft-abc", "0", "03", "-4", "5.0", "latest", "٦"):
            (model / name).mkdir()
        (model / "7").write_text("a file")
        assert checkpoint.versions(model) == [1, 2]

    def test_numbers_that_no_version_has(self, repository: Path) -> None:
        (repository / "colors" / ("9" * 200)).mkdir()
        assert checkpoint.versions(repository / "colors") == [1, 2]

    def test_very_many_entries(self, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checkpoint, "MAX_ENTRIES", 1)
        with pytest.raises(CheckpointError, match="more than 1 entries; move those away"):
            checkpoint.versions(repository / "colors")

    def test_strangers_are_no_models(self, repository: Path) -> None:
        publish_tiny(repository, "a.model")
        for name in (".hidden", "Upper", "lost+found"):
            (repository / name).mkdir()
        (repository / "notes.txt").write_text("a file")
        assert checkpoint.names(repository) == ["a.model", "colors"]

    def test_no_repository_has_no_models(self, tmp_path: Path) -> None:
        assert checkpoint.names(tmp_path / "missing") == []
        assert checkpoint.versions(tmp_path / "missing" / "colors") == []
