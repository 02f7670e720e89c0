"""Files appear whole, whoever writes and whatever fails."""

import ast
import errno
import io
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from models import files

ROOT = Path(__file__).parents[2]
OTHERS = {
    "training/data/files/shards.py",  # into a folder that appears as a whole
    "models/remote/storage.py",  # to object storage, where a file appears whole by itself
    "training/fitting/processes.py",  # os.devnull
    "training/profiling/memory.py",  # writes to /proc, where nothing is renamed
    "service/responses/arrays.py",  # an archive in memory
}


def test_a_file_is_written(tmp_path: Path) -> None:
    files.write(tmp_path / "result.json", b"{}")
    assert (tmp_path / "result.json").read_bytes() == b"{}"


def test_a_file_is_replaced(tmp_path: Path) -> None:
    files.write(tmp_path / "result.json", b"a long first version")
    files.write(tmp_path / "result.json", b"short")
    assert (tmp_path / "result.json").read_bytes() == b"short"


def test_one_who_reads_meanwhile_sees_the_old_content_whole(tmp_path: Path) -> None:
    files.write(tmp_path / "result.json", b"old")
    with (tmp_path / "result.json").open("rb") as reader:
        files.write(tmp_path / "result.json", b"new")
        assert reader.read() == b"old"


def test_no_draft_stays(tmp_path: Path) -> None:
    files.write(tmp_path / "result.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_two_writers_do_not_share_a_draft(tmp_path: Path) -> None:
    """Both are in the middle of it when the first one ends."""
    path = tmp_path / "result.json"
    with files.writing(path) as one:
        one.write(b"one, ")
        with files.writing(path) as other:
            other.write(b"the other")
        assert path.read_bytes() == b"the other"
        one.write(b"whole")
    assert path.read_bytes() == b"one, whole"
    assert list(tmp_path.iterdir()) == [path]


def test_of_many_writers_each_content_is_seen_whole(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    contents = {bytes([number]) * 50_000 for number in range(4)}
    files.write(path, bytes(50_000))

    def write(content: bytes) -> None:
        for _ in range(10):
            files.write(path, content)

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, content) for content in contents]
        while not all(writer.done() for writer in writers):
            assert path.read_bytes() in contents
        for writer in writers:
            writer.result()
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_leaves_all_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    files.write(path, b"old")

    def fail_in_the_middle() -> None:
        with files.writing(path) as file:
            file.write(b"half of the n")
            raise KeyError("figures")

    with pytest.raises(KeyError, match="figures"):
        fail_in_the_middle()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    files.write(path, b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os if call == "fsync" else Path, call, full)
    with pytest.raises(OSError, match="No space left") as raised:
        files.write(path, b"new")
    assert raised.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("prepare", "name"),
    [
        (lambda folder: None, "absent/result.json"),
        (lambda folder: (folder / "file").touch(), "file/result.json"),
        (lambda folder: (folder / "result.json").mkdir(), "result.json"),
    ],
    ids=["no folder", "a file in its place", "a folder in the file's place"],
)
def test_an_error_names_the_file_and_not_its_draft(
    prepare: Callable[[Path], Any], name: str, tmp_path: Path
) -> None:
    prepare(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OSError, match=r"\w") as raised:
        files.write(tmp_path / name, b"{}")
    assert str(raised.value).endswith(f": '{tmp_path / name}'")
    assert sorted(tmp_path.rglob("*")) == before


def test_file_and_folder_are_flushed_around_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could leave the new name with no content."""
    done: list[str] = []
    replace, fsync = Path.replace, os.fsync

    def flushed(descriptor: int) -> None:
        fsync(descriptor)
        done.append("folder" if os.fstat(descriptor).st_mode & 0o040000 else "file")

    def replaced(draft: Path, target: Path) -> Path:
        done.append("rename")
        return replace(draft, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", replaced)
    files.write(tmp_path / "result.json", b"{}")
    assert done == ["file", "rename", "folder"]


@pytest.mark.slow
def test_nothing_else_writes_files() -> None:
    """What is written with another call would not appear whole."""
    packages = ("models", "training", "service", "fanlight")
    sources = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    found = {
        str(path.relative_to(ROOT))
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and writes(node)
    }
    assert found == {"models/files.py", *OTHERS}


def writes(call: ast.Call) -> bool:
    """Whether it is `write_bytes`, `write_text`, or `open` with a mode that writes."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
    if name == "open":
        modes = [each.value for each in call.args if isinstance(each, ast.Constant)]
        return any(isinstance(mode, str) and set(mode) & set("wxa+") for mode in modes)
    return name in ("write_bytes", "write_text")


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"old")
    (tmp_path / "link").symlink_to("kept")
    files.write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "kept").read_bytes() == b"new"


def test_permissions_stay(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"old")
    secret.chmod(0o600)
    files.write(secret, b"new")
    assert secret.stat().st_mode & 0o777 == 0o600


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as reader:
        content = reader.submit((tmp_path / "pipe").read_bytes)
        files.write(tmp_path / "pipe", b"new")
        assert content.result(10) == b"new"
    assert (tmp_path / "pipe").is_fifo()


def test_torch_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's writer raises an error of its own; the disk's is the one that the user can mend."""

    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with (
        pytest.raises(OSError, match="No space left") as raised,
        files.writing(tmp_path / "weights.pt"),
    ):
        torch.save({"weight": torch.zeros(1000)}, Full())
    assert raised.value.filename == str(tmp_path / "weights.pt")


class TestOpenBeneath:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        (tmp_path / "root" / "a").mkdir(parents=True)
        (tmp_path / "root" / "a" / "file").write_bytes(b"inside")
        (tmp_path / "secret").write_bytes(b"outside")
        return tmp_path / "root"

    def test_a_file(self, root: Path) -> None:
        with files.open_beneath(root, "a", "file") as file:
            assert file.read() == b"inside"

    def test_a_root_that_is_a_link(self, root: Path) -> None:
        root.with_name("link").symlink_to(root)
        with files.open_beneath(root.with_name("link"), "a", "file") as file:
            assert file.read() == b"inside"

    def test_a_link_to_what_is_below(self, root: Path) -> None:
        (root / "b").symlink_to("a")
        (root / "a" / "link").symlink_to(root / "b" / "file")
        with files.open_beneath(root, "b", "link") as file:
            assert file.read() == b"inside"

    @pytest.mark.parametrize("target", ["../../secret", "/dev/zero", "/"])
    def test_a_link_to_what_is_not(self, root: Path, target: str) -> None:
        (root / "a" / "link").symlink_to(target)
        with pytest.raises(files.UnsafeFileError, match=r"link is a link to .* outside"):
            files.open_beneath(root, "a", "link")

    def test_a_folder_that_leads_out(self, root: Path) -> None:
        (root / "b").symlink_to(root.parent)
        with pytest.raises(files.UnsafeFileError, match="outside"):
            files.open_beneath(root, "b", "secret")

    def test_a_link_that_leads_nowhere_or_in_circles(self, root: Path) -> None:
        (root / "a" / "nowhere").symlink_to("absent")
        (root / "a" / "circle").symlink_to("circle")
        for name in ("nowhere", "circle", "absent"):
            with pytest.raises((OSError, files.UnsafeFileError)):
                files.open_beneath(root, "a", name)

    def test_what_is_no_file(self, root: Path) -> None:
        os.mkfifo(root / "a" / "pipe")
        with socket.socket(socket.AF_UNIX) as listening:
            here = os.open(root / "a", os.O_RDONLY)
            listening.bind(f"/proc/self/fd/{here}/socket")  # a short name
            os.close(here)
            for name, kind in (("pipe", "a named pipe"), ("socket", "a socket"), ("", "a folder")):
                with pytest.raises(files.UnsafeFileError, match=f"is not a file, but {kind}"):
                    files.open_beneath(root, "a", name)

    def test_a_file_that_is_exchanged_meanwhile(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between the look at the name and its opening, a link or a pipe takes its place."""
        path, look = root / "a" / "file", os.stat

        def exchange(kind: str) -> None:
            path.unlink()
            if kind == "link":
                path.symlink_to(root.parent / "secret")
            else:
                os.mkfifo(path)

        for kind in ("link", "pipe"):
            path.unlink()
            path.write_bytes(b"inside")

            def late(*arguments: Any, kind: str = kind, **options: Any) -> os.stat_result:
                found = look(*arguments, **options)
                if options.get("dir_fd") is not None:
                    exchange(kind)
                return found

            with monkeypatch.context() as patch:
                patch.setattr(os, "stat", late)
                with pytest.raises((OSError, files.UnsafeFileError)):
                    files.open_beneath(root, "a", "file")

    def test_no_descriptor_stays_open(self, root: Path) -> None:
        os.mkfifo(root / "a" / "pipe")
        before = len(list(Path("/proc/self/fd").iterdir()))
        for name in ("pipe", "absent"):
            with suppress(OSError, files.UnsafeFileError):
                files.open_beneath(root, "a", name)
        with files.open_beneath(root, "a", "file"):
            pass
        assert len(list(Path("/proc/self/fd").iterdir())) == before
