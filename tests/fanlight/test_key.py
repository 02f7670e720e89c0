"""`fanlight key`: makes a key and adds it to the file that the service reads."""

from pathlib import Path

import pytest

from fanlight.command import main
from service.access import api_keys


def test_the_key_is_printed_once_and_its_hash_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys.txt"
    assert main(["key", "alice", "--api-key-file", str(path)]) == 0
    out, err = capsys.readouterr()
    [key] = out.splitlines()  # so that KEY=$(fanlight key alice …) has it
    assert api_keys.read(path) == {api_keys.digest(key.encode()): "alice"}
    assert err == f"added to {path}\n"


def test_the_file_may_be_named_by_the_variable_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FANLIGHT_API_KEY_FILE", str(tmp_path / "keys.txt"))
    assert main(["key", "alice"]) == 0
    assert main(["key", "alice"]) == 0
    assert len(api_keys.read(tmp_path / "keys.txt")) == 2
    assert "alice has 2 keys, remove the line of the old one" in capsys.readouterr().err


def test_without_a_file_the_line_for_it_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["key", "alice"]) == 0
    out, err = capsys.readouterr()
    line = err.removeprefix("add to the file of keys: ")
    assert api_keys.parse(tmp_path, line.encode()) == {
        api_keys.digest(out.strip().encode()): "alice"
    }


@pytest.mark.parametrize(
    ("name", "file", "told"),
    [
        ("a/b", "keys.txt", "'a/b' can't be the name of a key"),
        ("alice", "broken.txt", "broken.txt line 1 is not 'NAME sha256:HEX'"),
        ("alice", "nowhere/keys.txt", "No such file or directory"),
        ("alice", ".", "Is a directory"),
    ],
)
def test_what_can_not_be_done_is_told_in_a_line(
    name: str, file: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.txt").write_text("fl_secret")
    assert main(["key", name, "--api-key-file", str(tmp_path / file)]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ")
    assert told in err
    assert "fl_secret" not in err
    assert out == ""
