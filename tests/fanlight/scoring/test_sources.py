"""Sources: what is read of them, in which order, and what each error says."""

import os
import pickle
import socket
import struct
import time
import zipfile
from pathlib import Path

import fsspec
import pytest

from fanlight.scoring.sources import opening, places
from fanlight.scoring.sources.opening import SourceError
from fanlight.scoring.sources.source import Source
from models.errors import DamagedFileError, FanlightError, InstallationError, OptionError
from service.errors import ServiceError
from tests.fanlight.scoring import sources
from tests.networks import encode, picture
from tests.web import served

IMAGES = sources.images(23)
CONTENTS = list(IMAGES.values())
MOST = 10_000


Found = tuple[str | None, object]


def read(source: Source, start: int = 0, stop: int | None = None) -> list[Found]:
    """Read a part of a source as another process would: path, and bytes or the error's text."""
    sent = pickle.dumps(source.piece(start, len(source) if stop is None else stop))
    piece = pickle.loads(sent)  # noqa: S301 (of this test)
    found: list[Found] = []
    for item in piece.items():
        try:
            found.append((item.path, item.read(MOST)))
        except ServiceError as error:
            found.append((item.path, f"{error.status} {error.detail}"))
    return found


def contents(source: Source, start: int = 0, stop: int | None = None) -> list[object]:
    return [content for _, content in read(source, start, stop)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return sources.folder(tmp_path / "some pictures", IMAGES)


@pytest.mark.parametrize("query", ["", "?X-Amz-Signature=a*b[c]%2F&x=?"])
def test_a_file_on_a_web_server_may_be_signed(query: str, place: Path) -> None:
    sources.table(place / "t.csv", ["path"], [["a/000 é.png"]])
    sources.zipped(place / "t.zip", IMAGES)
    sources.parquet(place / "t.parquet", path=["a"])
    with served(place) as address:
        for name in ("a/000%20%C3%A9.png", "t.csv"):
            source = opening.opened(f"{address}/{name}{query}")
            assert contents(source) == [IMAGES["a/000 é.png"]]
        assert len(opening.opened(f"{address}/t.parquet{query}")) == 1
        with pytest.raises(OptionError, match=r"gives no parts of files \(byte ranges\)"):
            opening.opened(f"{address}/t.zip{query}")
        with pytest.raises(OptionError, match="there is no"):
            opening.opened(f"{address}/absent.png{query}")


def test_a_folder_is_read_in_the_order_of_its_paths(place: Path) -> None:
    (place / "notes.txt").write_text("no image")
    (place / ".hidden.png").write_bytes(CONTENTS[0])
    source = opening.opened("some pictures")
    expected = [(f"some pictures/{name}", IMAGES[name]) for name in sorted(IMAGES)]
    assert read(source) == expected
    assert read(source, 5, 9) == expected[5:9]
    assert source.left_out == "left out: 1 file of another kind than images: notes.txt"
    assert opening.opened(f"file://{place}").digest != source.digest  # other paths in the rows


def test_links_in_circles_end(place: Path) -> None:
    (place / "a" / "again").symlink_to(place)
    assert len(opening.opened(str(place))) == len(IMAGES)


def test_any_folders_of_a_glob_are_each_entered_once(place: Path) -> None:
    for name in ("a", "b"):
        (place / name / "loop").symlink_to("..")  # with two of them paths would be without end
    (place / ".hidden").mkdir()
    (place / ".hidden" / "x.png").write_bytes(CONTENTS[0])
    (place / "a" / ".x.png").write_bytes(CONTENTS[0])
    every = [f"some pictures/{name}" for name in sorted(IMAGES)]
    for pattern in ("some pictures/**/*.png", f"{place}/**", "some*/**/[ab]/**/*"):
        found = [str(path) for path, _ in read(opening.opened(pattern))]
        assert sorted(path.removeprefix(f"{place.parent}/") for path in found) == every
    assert len(opening.opened("**/a/*.png")) == sum(name.startswith("a") for name in IMAGES)
    assert len(opening.opened("some pictures/.hidden/**")) == 1


def test_a_glob_takes_what_it_matches(place: Path) -> None:
    (place / "b" / "data.bin").write_bytes(CONTENTS[0])
    source = opening.opened("some pictures/b/*")
    names = [*sorted(name for name in IMAGES if name[0] == "b"), "b/data.bin"]
    assert [path for path, _ in read(source)] == [f"some pictures/{name}" for name in names]
    assert len(opening.opened(f"{place}/**/*.png")) == len(IMAGES)


def test_one_image_is_a_source(place: Path) -> None:
    assert read(opening.opened("some pictures/a/000 é.png")) == [
        ("some pictures/a/000 é.png", CONTENTS[0])
    ]


def test_a_zip_is_read_in_its_own_order(place: Path) -> None:
    found = {"notes.txt": b"no image", "__MACOSX/x.png": b"", **IMAGES}
    source = opening.opened(str(sources.zipped(place / "all.zip", found)))
    assert read(source) == list(IMAGES.items())
    assert contents(source, 7, 12) == CONTENTS[7:12]


def test_members_of_a_zip_cost_no_more_than_their_limit(tmp_path: Path) -> None:
    bomb = b"\0" * 100 * MOST
    path = sources.zipped(tmp_path / "bomb.zip", {"bomb.png": bomb, "lie.png": bomb, "x.png": b"x"})
    content = path.read_bytes()
    claims = struct.pack("<I", len(bomb))
    at = content.rindex(claims, 0, content.rindex(b"lie.png"))  # in the directory
    path.write_bytes(content[:at] + struct.pack("<I", 5) + content[at + 4 :])
    first, second, third = contents(opening.opened(str(path)))
    assert first == "413 the file is larger than 10,000 bytes (setting max_body_bytes)"
    assert str(second).startswith("422 its member of the zip is damaged (")
    assert third == b"x"


def test_members_with_a_password_or_damage_are_errors_of_their_own(tmp_path: Path) -> None:
    path = sources.zipped(tmp_path / "x.zip", {"a.png": b"a" * 50, "b.png": b"b" * 50})
    content = bytearray(path.read_bytes())
    content[content.index(b"a.png") + 7] ^= 255  # in the data
    content[content.rindex(b"b.png") - 38] |= 1  # the flag of encryption, in the directory
    path.write_bytes(content)
    damaged, encrypted = contents(opening.opened(str(path)))
    assert str(damaged).startswith("422 its member of the zip is damaged (")
    assert encrypted == "422 its member of the zip has a password; pack it without one"


def test_a_member_that_is_packed_in_an_unknown_way_is_told(tmp_path: Path) -> None:
    path = sources.zipped(tmp_path / "x.zip", {"a.png": b"a" * 50, "b.png": b"b" * 50})
    content = bytearray(path.read_bytes())
    content[content.index(b"a.png") - 22] = 9  # deflate64, in the member's head
    content[content.rindex(b"a.png") - 36] = 9  # and in the directory
    path.write_bytes(content)
    unknown, other = contents(opening.opened(str(path)))
    assert str(unknown).startswith("422 its member of the zip is packed in a way that can't be")
    assert other == b"b" * 50


@pytest.mark.parametrize("after", [b"no zip", None])
def test_a_zip_that_changes_meanwhile_is_an_error(after: bytes | None, tmp_path: Path) -> None:
    path = sources.zipped(tmp_path / "x.zip", IMAGES)
    source = opening.opened(str(path))
    if after is None:
        sources.zipped(path, {"a.png": b"x"})
    else:
        path.write_bytes(after)
    with pytest.raises(DamagedFileError, match=r"x.zip (can't be read|has fewer members)"):
        read(source)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_names_paths_relative_to_itself_and_urls(place: Path, separator: str) -> None:
    name = sorted(IMAGES)[0]
    data = "data:image/png;base64,iVBORw=="
    cells = [name, str(place / name), f"file://{place / name}", "missing.png", ""]
    rows = ["id", "Label", "Image Path"], *(["1", "cat", cell] for cell in cells)
    text = "\n".join(separator.join(row) for row in rows)
    (place / "t.csv").write_text(f'﻿{text}\n2{separator}x{separator}"{data}"\n\n')
    source = opening.opened("some pictures/t.csv", "Image Path")
    missing = "404 there is no such file; put it there, or correct its path"
    assert read(source) == [
        (name, IMAGES[name]),
        (cells[1], IMAGES[name]),
        (cells[2], IMAGES[name]),
        ("missing.png", missing),
        (None, "422 the row has no path; write that of an image, or take the row out"),
        (data, b"\x89PNG"),
    ]


def test_a_parquet_of_images_is_read_by_groups_of_rows(place: Path) -> None:
    names = list(IMAGES)
    source = opening.opened(
        str(sources.parquet(place / "t.parquet", label=[1] * 23, image=CONTENTS, path=names))
    )
    assert read(source) == list(IMAGES.items())
    for start, stop in ((0, 1), (4, 6), (5, 23), (22, 23)):
        assert contents(source, start, stop) == CONTENTS[start:stop]


def test_several_parquets_of_hugging_face_are_one_source(place: Path) -> None:
    for number, part in enumerate((slice(0, 9), slice(9, 23))):
        rows = [{"bytes": IMAGES[name], "path": name} for name in list(IMAGES)[part]]
        sources.parquet(place / f"train-{number}.parquet", image=rows, label=[0] * len(rows))
    source = opening.opened(f"{place}/train-*.parquet")
    assert read(source) == list(IMAGES.items())
    assert contents(source, 7, 11) == CONTENTS[7:11]
    (place / "only").mkdir()
    sources.parquet(place / "only" / "a.parquet", image=[b""])
    sources.parquet(place / "only" / "b.parquet", image=[b""])
    with pytest.raises(SourceError, match=r"give '.*/only/\*\.parquet'"):
        opening.opened(str(place / "only"))


def test_a_parquet_of_paths_and_empty_cells(place: Path) -> None:
    path = sources.parquet(place / "p.parquet", path=[sorted(IMAGES)[0], None])
    assert contents(opening.opened(str(path)))[0] == IMAGES[sorted(IMAGES)[0]]
    path = sources.parquet(place / "i.parquet", data=[b"x", None, b"y" * (MOST + 1)])
    assert contents(opening.opened(str(path))) == [
        b"x",
        b"",
        "413 the file is larger than 10,000 bytes (setting max_body_bytes)",
    ]


def test_object_storage_is_read_through_fsspec(place: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({f"/bucket/{name}": content for name, content in IMAGES.items()})
    memory.pipe("/bucket/notes.txt", b"no image")
    try:
        source = opening.opened("memory://bucket")
        expected = [(f"memory:///bucket/{name}", IMAGES[name]) for name in sorted(IMAGES)]
        assert read(source) == expected
        assert source.left_out == "left out: 1 file of another kind than images: notes.txt"
        assert contents(opening.opened("memory://bucket/a/*.png")) == [
            IMAGES[name] for name in sorted(IMAGES) if name[0] == "a"
        ]
        for made in ("all.zip", "all.parquet"):
            sources.zipped(place / "all.zip", IMAGES)
            sources.parquet(place / "all.parquet", image=CONTENTS)
            memory.pipe(f"/bucket/{made}", (place / made).read_bytes())
            assert contents(opening.opened(f"memory://bucket/{made}")) == CONTENTS
        name = sorted(IMAGES)[0]
        memory.pipe("/bucket/t.csv", f"path\n{name}\nnone.png\n".encode())
        found = contents(opening.opened("memory://bucket/t.csv"))
        assert found == [
            IMAGES[name],
            "404 there is no such file; put it there, or correct its path",
        ]
    finally:
        memory.rm("/bucket", recursive=True)


def test_the_digest_changes_with_names_and_content(place: Path) -> None:
    first = opening.opened(str(place)).digest
    assert opening.opened(str(place)).digest == first
    (place / "a" / "000 é.png").write_bytes(CONTENTS[0] + b"x")
    second = opening.opened(str(place)).digest
    (place / "a" / "000 é.png").rename(place / "a" / "0000.png")
    assert len({first, second, opening.opened(str(place)).digest}) == 3


def test_files_that_are_none_or_too_large_are_errors(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "large.png").write_bytes(b"x" * (MOST + 1))
    (tmp_path / "folder.png").mkdir()
    names = ("pipe.png", "large.png", "folder.png", "a\0b.png", "x/" * 3000)
    found = []
    for name in names:
        with pytest.raises(ServiceError) as error:
            places.read(str(tmp_path / name), MOST)
        found.append(error.value.detail)
    assert found[0] == "no file, but a pipe or a device"
    assert found[2] == "it can't be read: Is a directory; it is a folder: name a file"
    assert found[1] == "the file is larger than 10,000 bytes (setting max_body_bytes)"
    assert found[3].startswith("the path can't be one of a file")
    assert found[4].startswith("it can't be read: File name too long; shorten the name")


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("", OptionError, "the path is empty"),
        ("picture", OptionError, "there is no 'picture'; did you mean 'pictures'? give a folder"),
        ("nothing/*.png", OptionError, "nothing matches 'nothing/*.png'"),
        ("empty", SourceError, "empty has no images; there must be one"),
        ("others", SourceError, "others has no images: left out: 1 file of another kind"),
        ("x.tar.gz", OptionError, "unpack it first"),
        ("x.bin", OptionError, "'x.bin' is a file of an unknown kind"),
        ("x.zip", DamagedFileError, "x.zip can't be read as a zip"),
        ("x.parquet", DamagedFileError, "x.parquet can't be read as Parquet"),
        ("x.csv", OptionError, "has the columns 'foo', 'bar': say with --column"),
        ("empty.csv", OptionError, "empty.csv has no rows"),
        ("head.csv", SourceError, "head.csv has no images"),
        ("utf16.csv", FanlightError, "is not UTF-8"),
        ("numbers.parquet", OptionError, "has no column of text or bytes"),
        ("two.parquet", OptionError, "has the columns 'one', 'two': say with --column"),
        ("gopher://x/y", OptionError, "nothing here reads gopher://"),
        ("memory://nowhere", OptionError, "there is no 'memory://nowhere'"),
    ],
)
def test_what_is_no_source_gets_an_error_that_says_what_is(
    text: str, kind: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("pictures", "empty", "others"):
        Path(name).mkdir()
    Path("others/x.txt").write_text("x")
    Path("pictures/x.png").write_bytes(encode(picture(0)))
    for name in ("x.tar.gz", "x.bin", "x.zip", "x.parquet"):
        Path(name).write_bytes(b"nonsense")
    Path("x.csv").write_text("foo,bar\n1,2\n")
    Path("empty.csv").touch()
    Path("head.csv").write_text("path,label\n")
    Path("utf16.csv").write_bytes("path\né.png\n".encode("latin1"))
    sources.parquet(Path("numbers.parquet"), x=[1])
    sources.parquet(Path("two.parquet"), one=[b""], two=[b""])
    with pytest.raises(kind) as error:
        opening.opened(text)
    assert message in str(error.value)


def test_a_column_that_is_not_there(place: Path) -> None:
    with pytest.raises(OptionError, match="no column 'x'; there are path"):
        opening.opened(str(sources.table(place / "t.csv", ["path"], [["x"]])), "x")
    with pytest.raises(OptionError, match="no column 'x' of bytes or text; of bytes there is a"):
        opening.opened(str(sources.parquet(place / "t.parquet", a=[b""])), "x")
    with pytest.raises(OptionError, match="--column is for a CSV or Parquet"):
        opening.opened(str(place), "path")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(protocol: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "get_filesystem_class", lacking)
    with pytest.raises(InstallationError, match=r"needs s3fs, .* pip install 'fanlight\[s3\]'"):
        opening.opened("s3://bucket/photos")
    with pytest.raises(InstallationError, match=r"needs gcsfs, .* pip install 'fanlight\[gcs\]'"):
        opening.opened("gs://bucket/photos")


def test_a_truncated_zip_says_so(tmp_path: Path) -> None:
    path = sources.zipped(tmp_path / "x.zip", IMAGES)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DamagedFileError, match="pack or download it again"):
        opening.opened(str(path))
    assert not zipfile.is_zipfile(path)


@pytest.mark.parametrize("kind", ["zip", "parquet"])
def test_pieces_in_any_order_have_their_images(kind: str, place: Path) -> None:
    """Though a process keeps the file of the last piece open, and its place in it."""

    def written(name: str, images: list[bytes]) -> Source:
        if kind == "parquet":
            return opening.opened(str(sources.parquet(Path(name), image=images)))
        named = {f"{i:02}.png": each for i, each in enumerate(images)}
        return opening.opened(str(sources.zipped(Path(name), named)))

    here = written(f"a.{kind}", CONTENTS)
    there = written(f"b.{kind}", CONTENTS[::-1])
    for start, stop in ((0, 3), (3, 4), (4, 12), (20, 23), (21, 22), (5, 6), (9, 10), (0, 23)):
        assert contents(here, start, stop) == CONTENTS[start:stop]
    for start in (3, 1, 7):
        assert contents(here, start, 9) == CONTENTS[start:9]
        assert contents(there, start, 9) == CONTENTS[::-1][start:9]
    assert contents(written(f"a.{kind}", CONTENTS[1:])) == CONTENTS[1:]


@pytest.mark.parametrize("first", ["a/b.png", "https://x/y", "a.JPG,b"])
def test_a_table_without_names_of_columns_is_refused(first: str, place: Path) -> None:
    Path("t.csv").write_text(f"{first}\na/c.png\n")
    with pytest.raises(OptionError, match="looks like an image, and not like names of columns"):
        opening.opened("t.csv")


def test_a_protocol_that_nothing_reads_costs_its_row(place: Path) -> None:
    sources.table(place / "t.csv", ["path"], [["gopher://x/a.png"], [sorted(IMAGES)[0]]])
    bad, good = contents(opening.opened(str(place / "t.csv")))
    assert good == IMAGES[sorted(IMAGES)[0]]
    assert isinstance(bad, str)
    assert bad.startswith("422 'gopher://x/a.png': nothing here reads gopher://")


def test_an_image_in_a_zip_by_its_url(place: Path) -> None:
    archive = sources.zipped(place / "t.zip", {"a.png": CONTENTS[0]})
    for url in (f"zip://a.png::{archive}", f"zip://*.png::{archive}", f"zip://::file://{archive}"):
        assert contents(opening.opened(url)) == [CONTENTS[0]]


def test_a_web_server_that_falls_silent_costs_the_row_and_little_time(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "SILENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts, and says nothing
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.png"
        sources.table(place / "t.csv", ["path"], [[url]])
        began = time.monotonic()
        [told] = contents(opening.opened(str(place / "t.csv")))
    assert str(told).startswith("503 it could not be fetched: ")
    assert time.monotonic() - began < 5
