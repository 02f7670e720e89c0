"""The trust of a version: published with it, loaded with it, and added to a published one."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models import checkpoint, features
from models.checkpoint import CheckpointError
from models.trust import Answers, Fitted, fit
from tests.models.checkpoint.versions import CPU, RECORD, change_card, everything, logits
from tests.models.trust.answers import answers
from tests.networks import publish_tiny

pytestmark = pytest.mark.slow


def fitted(width: int = 4) -> Fitted:
    """Of features as wide as those of `Tiny`."""
    found = answers(200)
    assert found.features is not None
    return fit(Answers(found.logits, found.features[:, :width], found.targets), "made up")


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    """Version 1 of `colors`, with a trust."""
    publish_tiny(tmp_path, trust=fitted())
    return tmp_path / "colors" / "1"


class TestPublish:
    def test_card_and_file_are_of_one_version(self, trusted: Path) -> None:
        content = (trusted / "trust.safetensors").read_bytes()
        loaded = checkpoint.load(trusted, CPU)
        assert loaded.card.trust_sha256 == hashlib.sha256(content).hexdigest()
        assert everything(trusted) == ["card.json", "trust.safetensors", "weights.pt"]
        assert loaded.trust is not None
        assert loaded.trust.calibration == loaded.card.calibration
        assert loaded.trust.familiarity == loaded.card.familiarity
        assert set(loaded.stamps) == {"card.json", "trust.safetensors", "weights.pt"}
        assert not list(trusted.parent.glob(".draft*"))

    def test_a_reason_stands_in_the_card_without_a_file(self, tmp_path: Path) -> None:
        card = publish_tiny(tmp_path, trust=Fitted(None, ("too few images",)))
        assert card.trust_note == "too few images"
        assert everything(tmp_path / "colors" / "1") == ["card.json", "weights.pt"]
        assert checkpoint.load(tmp_path / "colors" / "1", CPU).trust is None

    def test_a_card_without_these_fields_is_as_before(self, folder: Path) -> None:
        content = (folder / "card.json").read_bytes()
        card = checkpoint.read_card(folder)
        assert card.model_dump_json(indent=2, exclude_none=True).encode() + b"\n" == content
        assert not {each for each in json.loads(content) if "trust" in each or "calib" in each}


class TestPublishTrust:
    def test_the_next_version_has_the_same_weights(self, tmp_path: Path, batch: Tensor) -> None:
        before = publish_tiny(tmp_path, metrics={"test_accuracy": 0.5}, training=RECORD)
        folder = tmp_path / "colors" / "1"
        content = (folder / "card.json").read_bytes()
        card = checkpoint.publish_trust(tmp_path, folder, before, fitted())
        weights = [(tmp_path / f"colors/{n}/weights.pt").read_bytes() for n in (1, 2)]
        assert weights[0] == weights[1]
        assert (folder / "card.json").read_bytes() == content
        assert everything(folder) == ["card.json", "weights.pt"]
        named = {"version", "calibration", "familiarity", "trust_sha256"}
        assert card.model_dump(exclude=named) == before.model_dump(exclude=named)
        loaded = checkpoint.load(tmp_path / "colors" / "2", CPU)
        assert loaded.trust is not None
        assert torch.equal(
            logits(loaded.network, batch), logits(checkpoint.load(folder, CPU).network, batch)
        )

    def test_another_trust_takes_the_place_of_the_first(self, trusted: Path) -> None:
        repository = trusted.parent.parent
        card = checkpoint.read_card(trusted)
        again = checkpoint.publish_trust(repository, trusted, card, Fitted(None, ("none",)))
        assert (again.calibration, again.familiarity, again.trust_sha256) == (None, None, None)
        assert again.trust_note == "none"

    def test_it_can_go_to_another_repository(self, folder: Path, tmp_path: Path) -> None:
        card = checkpoint.publish_trust(
            tmp_path / "other", folder, checkpoint.read_card(folder), fitted()
        )
        assert card.version == 1
        assert checkpoint.load(tmp_path / "other" / "colors" / "1", CPU).trust is not None

    def test_weights_that_were_changed_are_not_published(self, folder: Path) -> None:
        card = checkpoint.read_card(folder)
        (folder / "weights.pt").write_bytes(b"else")
        with pytest.raises(CheckpointError, match="SHA-256"):
            checkpoint.publish_trust(folder.parent.parent, folder, card, fitted())
        assert everything(folder.parent) == ["1", "1/card.json", "1/weights.pt"]


class TestLoad:
    def test_a_changed_file_is_refused(self, trusted: Path) -> None:
        path = trusted / "trust.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"trust\.safetensors does not have the SHA-256"):
            checkpoint.load(trusted, CPU)

    def test_a_missing_file_is_refused(self, trusted: Path) -> None:
        (trusted / "trust.safetensors").unlink()
        with pytest.raises(CheckpointError, match="can't be read"):
            checkpoint.load(trusted, CPU)

    def test_a_link_out_of_the_repository_is_refused(self, trusted: Path, tmp_path: Path) -> None:
        path = trusted / "trust.safetensors"
        outside = tmp_path.parent / f"{tmp_path.name}-outside"
        outside.write_bytes(path.read_bytes())
        path.unlink()
        path.symlink_to(outside)
        with pytest.raises(CheckpointError, match="outside of"):
            checkpoint.load(trusted, CPU)

    def test_a_file_of_another_network_is_refused(self, tmp_path: Path) -> None:
        publish_tiny(tmp_path, trust=fitted(width=3))
        with pytest.raises(CheckpointError, match="3 penultimate features, but the network has 4"):
            checkpoint.load(tmp_path / "colors" / "1", CPU)

    def test_a_file_that_the_card_does_not_name_is_left_alone(self, folder: Path) -> None:
        (folder / "trust.safetensors").write_bytes(b"anything")
        assert checkpoint.load(folder, CPU).trust is None

    @pytest.mark.parametrize(
        "fields",
        [
            {"trust_sha256": None},
            {"calibration": None},
            {"calibration": None, "trust_sha256": None},
            {"trust_sha256": "0" * 63},
            {"trust_note": "x" * 3000},
        ],
    )
    def test_a_card_with_half_of_it_is_refused(self, trusted: Path, fields: dict[str, str]) -> None:
        change_card(trusted, **fields)
        with pytest.raises(CheckpointError, match=r"card\.json"):
            checkpoint.load(trusted, CPU)

    @pytest.mark.parametrize(
        "changes",
        [
            {"temperature": 0},
            {"temperature": -1},
            {"temperature": "NaN"},
            {"images": 0},
            {"images": 199},
            {"ece_after": 2},
            {"coverage": 1},
            {"more": 1},
        ],
    )
    def test_a_calibration_that_can_not_be_is_refused(
        self, trusted: Path, changes: dict[str, object]
    ) -> None:
        before = json.loads((trusted / "card.json").read_bytes())["calibration"]
        change_card(trusted, calibration=before | changes)
        with pytest.raises(CheckpointError):
            checkpoint.load(trusted, CPU)


def test_the_trust_takes_what_the_network_gives(trusted: Path, batch: Tensor) -> None:
    loaded = checkpoint.load(trusted, CPU)
    assert loaded.trust is not None
    with features.capture(loaded.network, [features.PENULTIMATE], loaded.layers) as found:
        given = logits(loaded.network, batch)
    statistic = loaded.trust.statistic(given, found[features.PENULTIMATE])
    assert statistic.shape == (len(batch),)
    assert ((values := loaded.trust.pvalues(statistic.numpy())) > 0).all()
    assert (values <= 1).all()
