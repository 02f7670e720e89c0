"""Repository folders that hold one version, or the versions of one model, while they are served."""

import json
import shutil
from pathlib import Path

import pytest

from tests.models.checkpoint.test_place import as_volume
from tests.networks import LABELS, publish_tiny
from tests.service.conftest import Serve
from tests.service.repository.test_following import predict, ready, spoil, states, update

pytestmark = pytest.mark.slow


def test_the_versions_of_one_model(serve: Serve, repository: Path) -> None:
    client = serve(repository=repository / "colors", watch_interval=0)
    assert states(client) == {"colors": ["ready", "ready"]}
    publish_tiny(repository, seed=2)  # its folder is repository/colors
    shutil.rmtree(repository / "colors" / "1")
    update(client)
    assert states(client) == {"colors": ["ready", "ready"]}
    assert predict(client).json()["version"] == 3
    assert predict(client, version=1).status_code == 404


def test_a_volume_whose_version_is_exchanged(
    serve: Serve, repository: Path, tmp_path: Path
) -> None:
    """The version before answers until the new one can, and goes on if the new one can't."""
    volume = tmp_path / "models"
    as_volume(volume, repository / "colors" / "1", "first")
    client = serve(repository=volume, watch_interval=0)
    assert predict(client).json()["version"] == 1
    publish_tiny(repository, seed=2)
    spoil(repository / "colors" / "3")
    as_volume(volume, repository / "colors" / "3", "second")
    update(client)
    assert states(client) == {"colors": ["failed"]}
    reason = client.get("/v1/models").json()["models"][0]["versions"][0]["reason"]
    assert reason.endswith("the version that it replaced in its folder goes on answering")
    assert ready(client)
    assert predict(client).json()["version"] == 1
    as_volume(volume, repository / "colors" / "2", "third")
    update(client)
    assert states(client) == {"colors": ["ready"]}
    assert predict(client).json()["version"] == 2
    assert predict(client, version=1).status_code == 404


def test_two_forms_in_one_folder(serve: Serve, repository: Path) -> None:
    """A folder that is ambiguous is told by the readiness; what was served goes on answering."""
    version = repository / "colors" / "1"
    shutil.copytree(version, repository, dirs_exist_ok=True)
    client = serve(watch_interval=0)
    told = json.dumps(client.get("/health/ready").json())
    assert f"{repository} holds card.json" in told
    (repository / "card.json").unlink()
    update(client)
    assert ready(client)
    shutil.copy(version / "card.json", repository)
    update(client)
    assert predict(client).json()["version"] == 2
    assert ready(client)


def test_two_folders_of_one_model(serve: Serve, repository: Path) -> None:
    """The earlier hides the later, as in all repositories."""
    publish_tiny(repository, "shapes", labels=LABELS)
    folders = [repository / "colors" / "1", repository / "colors", repository / "shapes" / "1"]
    client = serve(repository=folders, watch_interval=0)
    assert states(client) == {"colors": ["ready"], "shapes": ["ready"]}
    assert predict(client).json()["version"] == 1
