"""A version is not loaded unless everything fits."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models import checkpoint
from models.checkpoint import CheckpointError
from tests.models.checkpoint.versions import (
    CPU,
    change_card,
    everything,
    logits,
    put_weights,
    saved,
    tiny,
)
from tests.networks import LABELS, SPEC, Tiny


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
            ({"labels": None}, "labels: is missing"),
            ({"format": 2}, "format: "),
            ({"version": 0}, "version: "),
            ({"name": "Colors"}, "name: "),
            ({"weights_sha256": "0" * 63}, "weights_sha256: "),
            ({"weights_sha256": "0" * 64}, "does not have the SHA-256"),
            ({"metrics": {"test_loss": float("nan")}}, r"metrics\.test_loss: "),
            ({"input": {"channels": 3, "height": 8}}, r"input\.width: is missing"),
            ({"input": {"channels": 1, "height": 8, "width": 8}}, "does not take an input"),
            ({"pickle": "cposix"}, "pickle: is not known"),
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
        with pytest.raises(CheckpointError, match=f"{name} is a link to .* outside of "):
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
        with pytest.raises(CheckpointError, match=r"a\\nb\\u202e: is not known"):
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
