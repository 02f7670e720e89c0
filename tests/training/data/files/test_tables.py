"""A CSV in place of a folder: which pictures it names, of which class and split."""

from pathlib import Path

import pytest

from models.preprocessing import InputSpec
from tests.networks import encode, picture
from training.data import datasets
from training.data.files import tables
from training.data.files.layout import DatasetError
from training.data.files.splits import Split


def write(folder: Path, table: str, *pictures: str) -> Path:
    for name in pictures:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    (folder / "pets.csv").write_text(table, "utf-8")
    return folder / "pets.csv"


def names(table: Path, split: Split) -> list[str]:
    return [path.name for path in tables.files(table, split, seed=0).paths]


@pytest.mark.parametrize(
    "head", ["path,label", "filename,class", "image_id,breed", "Image Path,Label", "label,file"]
)
def test_columns_by_the_usual_names(tmp_path: Path, head: str) -> None:
    rows = "cat,a.png\ndog,b.png" if head.startswith("label") else "a.png,cat\nb.png,dog"
    found = tables.files(write(tmp_path, f"{head}\n{rows}\n", "a.png", "b.png"), "train", seed=0)
    assert found.labels == ("cat", "dog")
    assert [path.name for path in found.paths] == ["a.png", "b.png"]
    assert found.targets == (0, 1)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators(tmp_path: Path, separator: str) -> None:
    lines = ("path,label", "a.png,cat", "b.png,dog")
    table = write(tmp_path, "\ufeff" + "\r\n".join(lines).replace(",", separator), "a.png", "b.png")
    assert names(table, "train") == ["a.png", "b.png"]


@pytest.mark.parametrize(
    "place", ["a{}.png", "pets/a{}.png", "images/a{}.png", "train/a{}.png", "x/a{}.png"]
)
def test_where_pictures_lie(tmp_path: Path, place: str) -> None:
    written = "x/a{}" if place.startswith("x") else "a{}"  # without their ending
    rows = "".join(f"{written.format(n)},{n % 2}\n" for n in range(4))
    table = write(tmp_path, f"id,label\n{rows}", *(place.format(n) for n in range(4)))
    found = tables.files(table, "train", seed=0)
    test = tables.files(table, "test", seed=0)
    assert sorted(p.name for p in (*found.paths, *test.paths)) == [f"a{n}.png" for n in range(4)]


def test_splits(tmp_path: Path) -> None:
    rows = "a,cat,Training\nb,dog,training\nc,cat,valid\nd,dog,Testing\n"
    pictures = [f"{name}.png" for name in "abcd"]
    table = write(tmp_path, f"path,label,split\n{rows}", *pictures)
    assert names(table, "train") == ["a.png", "b.png"]
    assert names(table, "validation") == ["c.png"]
    assert names(table, "test") == ["d.png"]


def test_a_table_of_test_pictures_alone(tmp_path: Path) -> None:
    table = write(tmp_path, "path,label,split\na.png,red,test\nb.png,blue,test\n")
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(encode(picture(0)))
    spec = InputSpec(channels=3, height=8, width=8)
    assert len(datasets.load(str(table), "test", tmp_path, spec)) == 2
    with pytest.raises(DatasetError, match=r"pets.csv has no pictures for train; it has test"):
        datasets.load(str(table), "train", tmp_path, spec)


def test_a_fifth_is_for_testing_where_no_row_is(tmp_path: Path) -> None:
    rows = "".join(f"{n}.png,{'cat' if n < 10 else 'dog'}\n" for n in range(20))
    table = write(tmp_path, f"path,label\n{rows}", *(f"{n}.png" for n in range(20)))
    train, test = names(table, "train"), names(table, "test")
    assert (len(train), len(test)) == (16, 4)
    assert not set(train) & set(test)
    assert names(table, "validation") == []


def test_backslashes_of_windows(tmp_path: Path) -> None:
    rows = "pics\\a.png,cat\npics\\b.png,dog\n"
    table = write(tmp_path, f"path,label\n{rows}", "pics/a.png", "pics/b.png")
    assert names(table, "train") == ["a.png", "b.png"]


def test_utf_16_as_excel_writes_it(tmp_path: Path) -> None:
    table = write(tmp_path, "", "a.png", "b.png")
    table.write_bytes("path\tlabel\na.png\t鳥\nb.png\t猫\n".encode("utf-16"))
    assert tables.files(table, "train", seed=0).labels == ("猫", "鳥")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,label\na.png,Bär\n".encode("latin-1"), "line 2 is not UTF-8; save it as UTF-8"),
        ("path,label\na.png,Bär\n".encode("utf-16-le"), "is not UTF-8|without its mark"),
        (b"PK\x03\x04", "is a spreadsheet or a zip, not a CSV: save the table as CSV"),
        (b"", "has no rows; it needs the columns path and label"),
    ],
)
def test_what_is_no_text_of_ours(tmp_path: Path, content: bytes, message: str) -> None:
    table = write(tmp_path, "", "a.png")
    table.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        tables.files(table, "train", seed=0)


def test_columns_that_are_not_read_are_told(tmp_path: Path) -> None:
    table = write(tmp_path, "path,label,fold\na,cat,0\nb,dog,1\n", "a.png", "b.png")
    [note] = tables.files(table, "train", seed=0).notes
    assert "not read are the columns 'fold'; a column split" in note


def test_splits_are_found_by_their_words(tmp_path: Path) -> None:
    rows = "a,cat,Training\nb,dog,Training\nc,cat,PublicTest\n"
    table = write(tmp_path, f"path,label,Usage\n{rows}", "a.png", "b.png", "c.png")
    assert names(table, "test") == ["c.png"]
    assert "the column 'Usage' tells the splits" in tables.files(table, "train", seed=0).notes[0]


def test_rows_that_lack_something_are_left_out(tmp_path: Path) -> None:
    rows = "a.png,cat\nb.png,dog\nc.png,\n,dog\nd.png\n"
    table = write(tmp_path, f"path,label\n{rows}", "a.png", "b.png", "c.png", "d.png")
    found = tables.files(table, "train", seed=0)
    assert [path.name for path in found.paths] == ["a.png", "b.png"]
    assert [(path.name, reason) for path, reason in found.left_out] == [
        ("c.png", "it has no label in the table: line 4"),
        ("pets.csv", "it has no picture in the table: line 5"),
        ("d.png", "it has no label in the table: line 6"),
    ]


def test_numbers_are_in_their_order(tmp_path: Path) -> None:
    rows = "".join(f"{n}.png,{n}\n" for n in (10, 9, 100, 0))
    table = write(tmp_path, f"path,label\n{rows}", "0.png", "9.png", "10.png", "100.png")
    assert tables.files(table, "train", seed=0).labels == ("0", "9", "10", "100")


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    table = write(tmp_path, "path,label\na.png,cat\ngone.png,dog\nb.svg,dog\n", "a.png", "b.svg")
    left_out = tables.files(table, "train", seed=0).left_out
    assert {path.name: reason for path, reason in left_out} == {
        "gone.png": "in the table, and not there",
        "b.svg": ".svg is no image format that is read; convert pictures to PNG or JPEG",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1.png,cat\n", "has the columns 'a', 'b'; call the one with the pictures path"),
        ("path,b\n1.png,cat\n", "call the one with the labels label"),
        ("path,label\n1.png,cat\n1.png,dog\n", "two labels for 1.png, cat and dog: keep one"),
        ("path,label\n1.png,\n", "line 2, has no picture or no label"),
        ("path,label,split\n1.png,cat,some\n", "line 2, has the split 'some'"),
        ("path,label\n", "has no rows"),
        ("path,label\nno.png,cat\n", "names no.png, which is neither in"),
        ("one\n", "has no columns"),
    ],
)
def test_what_is_unclear_is_an_error(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        tables.files(write(tmp_path, content, "1.png"), "train", seed=0)


def test_it_is_a_data_set(tmp_path: Path) -> None:
    table = write(tmp_path, "path,label\na.png,red\nb.png,blue\n")
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(encode(picture(0)))
    found = datasets.load(str(table), "train", tmp_path, InputSpec(channels=3, height=8, width=8))
    assert found.labels == ("blue", "red")
    assert len(found) == 2
