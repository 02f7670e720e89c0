"""Repositories elsewhere are copied whole, or not at all, and never beyond the cache."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch

from models import checkpoint, repositories, repository_paths
from models.checkpoint import CheckpointError
from models.errors import InstallationError, OptionError
from models.remote.address import CACHE, RemoteError, address_of
from models.remote.mirror import Mirror
from models.remote.storage import Storage
from models.repositories import RemoteWarning
from tests.networks import publish_tiny
from tests.web import served

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def mirror_of(folder: Path | str, **limits: int) -> Mirror:
    address = address_of(f"file://{folder}" if isinstance(folder, Path) else folder)
    assert address is not None
    return Mirror(address, **limits)


class TestAddress:
    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("s3:/bucket/a", "s3://bucket/a"),  # as a path has it
            ("https://example.org:8000/models", "https://example.org:8000/models"),
            ("file:///a b/ü", "file:///a b/ü"),
            ("hf://me/repository", "hf://me/repository"),
        ],
    )
    def test_is_told_from_a_folder(self, text: str, address: str) -> None:
        assert str(address_of(text)) == address
        assert str(address_of(Path(text))) == address

    @pytest.mark.parametrize("text", ["models", "/a/b", "./s3/x", "C:/models", "a:b", ""])
    def test_folders(self, text: str) -> None:
        assert address_of(text) is None

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("https://me:hunter2@example.org/m", "holds a user or password"),
            ("s3://key@bucket", "holds a user or password"),
            ("https://example.org/m?token=hunter2", "a query or fragment"),
            ("https://example.org/m#hunter2", "a query or fragment"),
            ("s3://", "must be followed by"),
            ("s3://bucket/../other", "must be followed by"),
        ],
    )
    def test_secrets_and_no_place(self, text: str, told: str) -> None:
        with pytest.raises(OptionError, match=told) as raised:
            address_of(text)
        assert "hunter2" not in str(raised.value)

    def test_several_in_one_variable(self) -> None:
        texts = ("models", "s3://b/m", "https://example.org:8000/m", "/x y")
        found = repository_paths.split(":".join(texts))
        assert [str(address_of(each) or each) for each in found] == list(texts)
        assert repository_paths.split(repository_paths.join(found)) == found


class TestSync:
    def test_follows_what_is_there(self, repository: Path) -> None:
        mirror = mirror_of(repository)
        assert mirror.sync().fetched == ["colors/2", "colors/1"]
        assert mirror.sync() == mirror.sync(wait=False)
        loaded = checkpoint.load_named(mirror.folder, "colors", 1, CPU)
        assert loaded.card == checkpoint.read_card(repository / "colors" / "1")
        publish_tiny(repository, "shapes")
        shutil.rmtree(repository / "colors" / "1")
        done = mirror.sync()
        assert (done.fetched, done.removed, done.problems) == (["shapes/1"], ["colors/1"], [])
        assert checkpoint.versions(mirror.folder / "colors") == [2]

    def test_only_one_model(self, repository: Path) -> None:
        publish_tiny(repository, "shapes")
        assert mirror_of(repository).sync("shapes").fetched == ["shapes/1"]

    @pytest.mark.parametrize("inner", ["colors", "colors/2"])
    def test_one_model_or_version(self, repository: Path, inner: str) -> None:
        mirror = mirror_of(repository / inner)
        assert "colors/2" in mirror.sync().fetched
        assert mirror.sync().fetched == []
        assert checkpoint.load_named(mirror.folder, "colors", 2, CPU).card.version == 2

    @pytest.mark.parametrize(
        ("spoil", "told"),
        [
            (lambda v: (v / "weights.pt").write_bytes(b"other"), "does not have the SHA-256"),
            (lambda v: (v / "weights.pt").unlink(), "weights.pt is missing"),
            (lambda v: (v / "card.json").write_text("{"), "card.json: "),
            (lambda v: (v / "card.json").write_text(" " * 2**23), "card.json is larger"),
            (lambda v: v.rename(v.with_name("9")), "is of colors/2, but lies in"),
        ],
    )
    def test_a_bad_version_stops_no_other(self, repository: Path, spoil: Any, told: str) -> None:
        spoil(repository / "colors" / "2")
        mirror = mirror_of(repository)
        done = mirror.sync()
        assert done.fetched == ["colors/1"]
        assert told in done.problems[0]
        assert [e.name for e in mirror.folder.iterdir() if e.name != ".lock"] == ["colors"]
        assert checkpoint.versions(mirror.folder / "colors") == [1]

    @pytest.mark.parametrize(
        "changed",
        [
            *({"name": each} for each in ("x" * 300, "A/b", "", 7, None)),
            *({"version": each} for each in (0, -1, "1", "٢", 10**20, True, None)),
        ],
        ids=str,
    )
    def test_a_card_that_can_name_nothing_stops_no_other(
        self, repository: Path, changed: dict[str, Any]
    ) -> None:
        card = repository / "colors" / "2" / "card.json"
        card.write_text(json.dumps(json.loads(card.read_text()) | changed))
        done = mirror_of(repository / "colors").sync()
        assert done.fetched == ["colors/1"]
        assert "card.json" in done.problems[0]

    def test_a_version_that_is_just_pushed(self, repository: Path) -> None:
        (repository / "colors" / "2" / "card.json").unlink()
        done = mirror_of(repository).sync()
        assert (done.fetched, done.problems) == (["colors/1"], [])

    def test_weights_that_are_too_large(self, repository: Path) -> None:
        done = mirror_of(repository, max_bytes=10).sync()
        assert done.fetched == []
        assert "at most 10 are fetched" in done.problems[0]

    def test_links_are_refused(self, repository: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret")
        (repository / "colors" / "2" / "trust.safetensors").symlink_to(tmp_path / "secret")
        with pytest.raises(RemoteError, match="is a symbolic link"):
            mirror_of(repository).sync()

    def test_an_emptied_place_keeps_the_copies(self, repository: Path) -> None:
        mirror = mirror_of(repository)
        mirror.sync()
        shutil.rmtree(repository / "colors")
        assert "lists no version; the copies in" in mirror.sync().problems[0]
        assert checkpoint.versions(mirror.folder / "colors") == [1, 2]

    def test_a_draft_that_was_left(self, repository: Path) -> None:
        mirror = mirror_of(repository)
        (mirror.folder / ".draft-abc" / "colors" / "2").mkdir(parents=True)
        assert mirror.sync().fetched == ["colors/2", "colors/1"]
        assert sorted(each.name for each in mirror.folder.iterdir()) == [".lock", "colors"]

    @pytest.mark.thorough  # it imports torch anew
    def test_a_process_that_is_killed(self, repository: Path) -> None:
        """It leaves a draft and no version; the next one starts anew."""
        program = (
            "import os, sys\n"
            "from models.remote.address import address_of\n"
            "from models.remote.mirror import Mirror\n"
            "from models.remote.storage import Storage\n"
            "read = Storage.read\n"
            "def dying(storage, stored, take):\n"
            "    read(storage, stored, take)\n"
            "    if stored.name == 'weights.pt': os.kill(os.getpid(), 9)\n"
            "Storage.read = dying\n"
            "Mirror(address_of(sys.argv[1])).sync()\n"
        )
        command = [sys.executable, "-c", program, f"file://{repository}"]
        assert subprocess.run(command, timeout=120).returncode == -9
        mirror = mirror_of(repository)
        assert checkpoint.names(mirror.folder) == []
        assert any(each.name.startswith(".draft-") for each in mirror.folder.iterdir())
        assert mirror.sync().fetched == ["colors/2", "colors/1"]
        assert sorted(each.name for each in mirror.folder.iterdir()) == [".lock", "colors"]

    def test_two_at_once(self, repository: Path) -> None:
        """Of two, one fetches; another that does not wait uses what is there."""
        mirror, other = mirror_of(repository), mirror_of(repository)
        inside: list[Any] = []
        listed = Storage.listed

        def meanwhile(storage: Storage) -> Any:
            inside.append(other.sync(wait=False))
            return listed(storage)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Storage, "listed", meanwhile)
            assert mirror.sync().fetched == ["colors/2", "colors/1"]
        assert (inside[0].fetched, inside[0].is_busy) == ([], True)

    def test_memory(self, repository: Path) -> None:
        system = fsspec.filesystem("memory")
        system.put(str(repository), "/models", recursive=True)
        try:
            assert mirror_of("memory://models").sync().fetched == ["colors/2", "colors/1"]
        finally:
            system.rm("/models", recursive=True)

    def test_what_is_not_there_or_not_known(self, tmp_path: Path) -> None:
        done = mirror_of(tmp_path / "absent").sync()
        assert (done.fetched, len(done.problems)) == ([], 1)
        assert "lists no version; correct it, or push one" in done.problems[0]
        with pytest.raises(RemoteError, match="no storage is called 'nosuch'"):
            mirror_of("nosuch://models").sync()

    def test_a_missing_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "gcsfs", None)
        with pytest.raises(
            InstallationError, match=r"needs gcsfs, .*pip install 'fanlight\[gcs\]'"
        ):
            mirror_of("gs://bucket/models").sync()


class TestCommands:
    def test_find_what_is_elsewhere(self, repository: Path, tmp_path: Path) -> None:
        elsewhere = Path(f"file://{repository}")
        publish_tiny(tmp_path / "own", "shapes")
        both = (tmp_path / "own", elsewhere)
        assert repositories.names(both) == ["colors", "shapes"]
        assert repositories.load_named(both, "colors", None, CPU).card.version == 2
        with pytest.raises(CheckpointError, match=r"no model 'color' .*file:///.*'colors'"):
            repositories.find(both, "color")

    def test_go_on_with_copies(self, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        elsewhere = [Path(f"file://{repository}")]

        def away(storage: Storage) -> Any:
            raise RemoteError("no route")

        with monkeypatch.context() as patch:
            patch.setattr(Storage, "listed", away)
            with pytest.raises(RemoteError, match="no route"):
                repositories.find(elsewhere, "colors")
        repositories.find(elsewhere, "colors")
        monkeypatch.setattr(Storage, "listed", away)
        with pytest.warns(RemoteWarning, match=r"no route; the copies in .* are used"):
            assert repositories.find(elsewhere, "colors").number == 2

    def test_publish_nothing_there(self, repository: Path) -> None:
        with pytest.raises(CheckpointError, match="fanlight push shapes s3://bucket/models"):
            publish_tiny(Path("s3://bucket/models"), "shapes")
        assert not Path("s3:").exists()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server of a folder: its address, and the folder."""
    folder = tmp_path / "web"
    folder.mkdir()
    with served(folder) as address:
        yield address, folder


class TestWeb:
    def test_is_listed_by_its_index(self, web: tuple[str, Path], repository: Path) -> None:
        address, folder = web
        shutil.copytree(repository, folder / "models")
        with pytest.raises(RemoteError, match="FileNotFoundError"):
            mirror_of(f"{address}/models").sync()
        files = {
            str(each.relative_to(repository)): each.stat().st_size
            for each in repository.glob("*/*/*")
        }
        (folder / "models" / "index.json").write_text(json.dumps({"files": files}))
        assert mirror_of(f"{address}/models").sync().fetched == ["colors/2", "colors/1"]

    def test_names_that_lead_out(
        self, web: tuple[str, Path], repository: Path, cache: Path
    ) -> None:
        address, folder = web
        shutil.copytree(repository, folder / "models")
        names = ["../../x/1/card.json", "a/../1/card.json", "/etc/passwd", "A/1/card.json"]
        names += [
            "a/0/card.json",
            "a/1/x.sh",
            "a/1/card.json/x",
            "",
            "card.json\n",
            "a\\1/card.json",
        ]
        own = {str(p.relative_to(repository)): p.stat().st_size for p in repository.glob("*/*/*")}
        files = own | dict.fromkeys(names, 3)
        (folder / "models" / "index.json").write_text(json.dumps({"files": files}))
        mirror = mirror_of(f"{address}/models")
        assert mirror.sync().fetched == ["colors/2", "colors/1"]
        assert sorted(each.name for each in cache.iterdir()) == [mirror.folder.name]
        assert sorted(each.name for each in mirror.folder.iterdir()) == [".lock", "colors"]

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": 3}', '{"files": {"a": "x"}}'])
    def test_an_index_that_is_none(self, web: tuple[str, Path], content: str) -> None:
        (web[1] / "index.json").write_text(content)
        with pytest.raises(RemoteError, match="is no index"):
            mirror_of(f"{web[0]}/").sync()

    def test_files_of_another_size(self, web: tuple[str, Path]) -> None:
        (web[1] / "m" / "1").mkdir(parents=True)
        (web[1] / "m" / "1" / "card.json").write_text("{}" * 10)
        for size in (3, 300):
            files = {"m/1/card.json": size}
            (web[1] / "index.json").write_text(json.dumps({"files": files}))
            assert "bytes that are listed" in mirror_of(web[0]).sync().problems[0]


@pytest.mark.thorough
def test_a_server_of_s3(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of moto, which answers as Amazon's does."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    pytest.importorskip("s3fs")
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    try:
        system = fsspec.filesystem("s3", skip_instance_cache=True)
        system.mkdir("bucket")
        system.put(str(repository), "bucket/models", recursive=True)
        mirror = mirror_of("s3://bucket/models")
        assert mirror.sync().fetched == ["colors/2", "colors/1"]
        assert checkpoint.load_named(mirror.folder, "colors", 2, CPU).card.version == 2
        system.rm("bucket/models/colors/1", recursive=True)
        assert mirror.sync().removed == ["colors/1"]
        done = mirror_of("s3://no-such-bucket/models").sync()
        assert "lists no version" in done.problems[0]
    finally:
        server.stop()
    with pytest.raises(RemoteError, match="can't be used"):
        mirror.sync()
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in str(mirror.folder)
