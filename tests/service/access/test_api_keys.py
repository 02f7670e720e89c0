"""API keys: what a key is, and the file that lists them."""

import hashlib
import os
from pathlib import Path

import pytest

from models.errors import DamagedFileError, OptionError
from service.access import api_keys, reloading

HASH = hashlib.sha256(b"sesame").hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.txt"


def test_the_file_has_the_hash_and_not_the_key(path: Path) -> None:
    key = api_keys.new()
    api_keys.add(path, "alice", key)
    assert key not in path.read_text()
    assert api_keys.read(path) == {api_keys.digest(key.encode()): "alice"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_keys_are_long_and_never_the_same() -> None:
    keys = {api_keys.new() for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("fl_") and len(key) == 3 + 43 for key in keys)


def test_a_key_is_added_to_those_that_are_there(path: Path) -> None:
    path.write_text(f"# ours\n\nbob sha256:{HASH}")  # without a newline at the end
    api_keys.add(path, "alice", "other")
    assert sorted(api_keys.read(path).values()) == ["alice", "bob"]
    assert path.read_text().startswith("# ours\n\nbob ")


def test_a_name_may_have_an_old_key_and_a_new_one(path: Path) -> None:
    api_keys.add(path, "alice", "old")
    assert list(api_keys.add(path, "alice", "new").values()) == ["alice", "alice"]


def test_a_key_of_ones_own(path: Path) -> None:
    path.write_bytes(f"\ufeff  carol\t sha256:{HASH.upper()} \r\n".encode())  # as Windows writes
    assert api_keys.read(path) == {hashlib.sha256(b"sesame").digest(): "carol"}


@pytest.mark.parametrize("name", ["", " ", "a b", "a/b", "-a", ".a", "é", "a" * 65, "a\nb", "(a)"])
def test_what_is_no_name(name: str, path: Path) -> None:
    with pytest.raises(OptionError, match="can't be the name of a key"):
        api_keys.add(path, name, "key")
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "has no key; fanlight key NAME"),
        ("# nothing\n", "has no key"),
        ("alice my-secret", "line 1 is not 'NAME sha256:HEX'"),
        (f"# keys\nalice sha256:{HASH[:-1]}", "line 2 is not"),
        (f"alice sha1:{HASH}", "line 1 is not"),
        (f"sha256:{HASH}", "line 1 is not"),
        (f"alice sha256:{HASH} more", "line 1 is not"),
        (f"a/b sha256:{HASH}", "line 1 has no name of a key"),
        (f"alice sha256:{HASH}\nbob sha256:{HASH}", "line 2 repeats a key, that of alice"),
        ("\x00\xff" * 50, "line 1 is not"),
    ],
)
def test_a_file_that_is_wrong_is_told_without_what_it_has(
    content: str, told: str, path: Path
) -> None:
    path.write_text(content, encoding="latin-1")
    with pytest.raises(DamagedFileError) as raised:
        api_keys.read(path)
    assert str(path) in str(raised.value)
    assert told in str(raised.value)
    assert "my-secret" not in str(raised.value)
    assert HASH not in str(raised.value)


def test_a_file_that_is_wrong_is_not_added_to(path: Path) -> None:
    path.write_text("not a list of keys")
    with pytest.raises(DamagedFileError):
        api_keys.add(path, "alice", "key")
    assert path.read_text() == "not a list of keys"


@pytest.mark.skipif(os.name != "posix", reason="other systems have other permissions")
def test_a_file_that_every_user_can_change_is_refused(path: Path) -> None:
    api_keys.add(path, "alice", "key")
    path.chmod(0o666)
    with pytest.raises(DamagedFileError, match="chmod o-w"):
        api_keys.read(path)


def test_what_is_no_small_file_is_refused_at_once(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(DamagedFileError, match="is not a regular file"):
        api_keys.read(path)
    path.unlink()
    path.write_bytes(b"#" * (reloading.MAX_BYTES + 1))
    with pytest.raises(DamagedFileError, match="is larger than"):
        api_keys.read(path)
    with pytest.raises(IsADirectoryError):
        api_keys.read(path.parent)
    with pytest.raises(FileNotFoundError):
        api_keys.read(path.parent / "nothing")
