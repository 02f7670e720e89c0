"""Files appear whole."""

from pathlib import Path

from training import files


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
