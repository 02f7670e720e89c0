"""Weights are a pure state_dict, and nothing that their file holds is run."""

import os
import pickle
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import torch

from models import checkpoint
from models.checkpoint import CheckpointError
from tests.models.checkpoint.versions import CPU, put_weights, saved, tiny


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
