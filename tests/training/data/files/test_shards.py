"""Shards of Parquet and WebDataset in place of a folder."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from models.errors import FanlightError
from models.preprocessing import InputSpec, read
from tests.networks import encode, picture
from training.data import datasets
from training.data.datasets import ImageSet
from training.data.files import archives, shards
from training.data.files.layout import DatasetError
from training.data.files.splits import Split

SPEC = InputSpec(channels=3, height=8, width=8)
PICTURES = [encode(picture(number), "PNG") for number in range(8)]
NAMES = ["cat", "=dog", "n/a", ".."]  # none of which is the name of a folder, or a formula
LABELS = [0, 1, 2, 3, 0, 1, 2, 3]


def parquet(
    path: Path, images: Sequence[object], labels: Sequence[object], names: Sequence[str] | None
) -> Path:
    """Write a shard as the library datasets does, or without its metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"image": images, "label": labels, "width": [8] * len(images)})
    if names is not None:
        features = {"label": {"names": names, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
        table = table.replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": features}})}
        )
    pq.write_table(table, path, row_group_size=3)
    return path


def hugging_face(path: Path, images: Sequence[bytes], labels: Sequence[int]) -> Path:
    pairs = [{"bytes": each, "path": f"{i}.png"} for i, each in enumerate(images)]
    return parquet(path, pairs, labels, NAMES)


def tar(path: Path, members: Mapping[str, bytes | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as opened:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            encoded = content.encode() if isinstance(content, str) else content
            entry.size = len(encoded)
            opened.addfile(entry, io.BytesIO(encoded))
    return path


def samples(labels: Sequence[object], ending: str = "cls") -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    for number, (image, label) in enumerate(zip(PICTURES, labels, strict=False)):
        found[f"./{number:04}.png"] = image
        found[f"./{number:04}.{ending}"] = str(label)
    return found


def load(place: Path, split: Split, root: Path) -> ImageSet:
    return datasets.load(str(place), split, root, SPEC)


def shown(found: ImageSet) -> list[str]:
    return [found.labels[target] for target in found.targets.tolist()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.mark.parametrize("inside", ["", "data", "default/{split}"])
def test_a_repository_of_hugging_face(inside: str, tmp_path: Path, root: Path) -> None:
    place = tmp_path / "pets"
    for split, numbers in (("train", range(8)), ("test", range(2, 6))):
        for half in (0, 1):
            own = list(numbers)[half::2]
            folder = place / inside.format(split=split)
            name = f"000{half}" if "{" in inside else f"{split}-0000{half}-of-00002"
            hugging_face(
                folder / f"{name}.parquet",
                [PICTURES[i] for i in own],
                [LABELS[i] for i in own],
            )
    (place / "README.md").write_text("# pets")
    (place / ".cache").mkdir()
    train, test = load(place, "train", root), load(place, "test", root)
    assert set(train.labels) == set(NAMES)
    assert shown(train) == [NAMES[LABELS[i]] for i in (0, 2, 4, 6, 1, 3, 5, 7)]
    assert shown(test) == [NAMES[LABELS[i]] for i in (2, 4, 3, 5)]
    assert torch.equal(train.in_memory[0], torch.as_tensor(read(PICTURES[0], SPEC)))
    assert len(list((root / archives.UNPACKED).iterdir())) == 1  # once for both
    assert not train.left_out


def test_the_pictures_are_the_bytes_of_the_shard(tmp_path: Path, root: Path) -> None:
    place = parquet(tmp_path / "a.parquet", PICTURES, ["x", "y"] * 4, None)
    table = shards.unpacked(place, shards.of(place), root)
    rows = [line.partition(",")[0] for line in table.read_text().splitlines()[1:]]
    assert [(table.parent / row).read_bytes() for row in rows] == PICTURES
    assert {Path(row).suffix for row in rows} == {".png"}


@pytest.mark.parametrize("ending", ["cls", "label", "json"])
@pytest.mark.parametrize("packed", ["tar", "tar.gz", "tgz"])
def test_web_dataset(ending: str, packed: str, tmp_path: Path, root: Path) -> None:
    def told(label: str) -> str:
        return json.dumps({"label": label, "width": 8}) if ending == "json" else f"{label}\n"

    tar(tmp_path / "w" / f"train-000.{packed}", samples([told(x) for x in "abab"], ending))
    tar(tmp_path / "w" / f"train-001.{packed}", samples([told(x) for x in "ab"], ending))
    tar(tmp_path / "w" / f"val-000.{packed}", samples([told(x) for x in "ab"], ending))
    tar(tmp_path / "w" / f"test-000.{packed}", samples([told(x) for x in "ba"], ending))
    place = tmp_path / "w"
    assert shown(load(place, "train", root)) == list("ababab")
    assert shown(load(place, "validation", root)) == list("ab")
    assert shown(load(place, "test", root)) == list("ba")


def test_one_tar_of_web_dataset_with_names_of_classes(tmp_path: Path, root: Path) -> None:
    place = tar(tmp_path / "pets.tar", samples([0, 1] * 4))
    (tmp_path / "classnames.txt").write_text("tabby\nbeagle\n")
    train, test = load(place, "train", root), load(place, "test", root)
    assert train.labels == ("beagle", "tabby")
    assert len(train) + len(test) == 8  # a fifth of each class, rounded, is for testing
    assert len(test) == 2


def test_other_files_of_a_sample_and_folders_in_the_tar(tmp_path: Path, root: Path) -> None:
    members: dict[str, bytes | str] = {}
    for number, each in enumerate(PICTURES):
        members |= {
            f"part/{number}.txt": "a caption",
            f"part/{number}.seg.png": b"a mask",
            f"part/{number}.png": each,
            f"part/{number}.cls": "ab"[number % 2],
        }
    found = load(tar(tmp_path / "a.tar", members), "train", root)
    assert sorted(found.labels) == ["a", "b"]
    assert not found.left_out


def test_what_lacks_label_or_picture_is_left_out_and_said(tmp_path: Path, root: Path) -> None:
    images = [*PICTURES[:6], None, b"no image"]
    place = parquet(tmp_path / "a.parquet", images, [0, 1, 0, 1, None, -1, 0, 1], ["a", "b"])
    found = load(place, "train", root)
    reasons = sorted(reason for _, reason in found.left_out)
    assert len(reasons) == 4
    assert sum("no label" in reason for reason in reasons) == 2
    assert any("no picture" in reason for reason in reasons)
    assert any("no image format" in reason for reason in reasons)
    members = samples("abab")
    del members["./0001.cls"], members["./0002.png"]
    found = load(tar(tmp_path / "a.tar", members), "train", root)
    assert sorted(reason.partition(":")[0] for _, reason in found.left_out) == [
        "it has no label in the table",
        "it has no picture in the table",
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [b"x"], "b": [b"x"], "label": [1]}, "which has the pictures. 'a', 'b': call it"),
        ({"label": [1]}, "which has the pictures. none that could hold them"),
        ({"image": [b"x"], "x": [1], "y": [2]}, "which has the labels. 'x', 'y': call it label"),
        ({"image": [b"x"], "label": [[1, 2]]}, r"has the label \[1, 2\]: a label is a text or"),
        ({"image": [b"x"], "label": [0.5]}, "has the label 0.5: a label is a text or"),
        ({"image": [b"x"]}, "which has the labels. none"),
    ],
)
def test_columns_that_can_not_be_told(
    columns: Mapping[str, list[object]], message: str, tmp_path: Path, root: Path
) -> None:
    pq.write_table(pa.table(dict(columns)), tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match=message):
        load(tmp_path / "a.parquet", "train", root)
    assert not list((root / archives.UNPACKED).iterdir())


@pytest.mark.parametrize("name", ["a.parquet", "a.tar", "a.tar.gz"])
@pytest.mark.parametrize("left", [0.3, 0.7])
def test_a_damaged_shard_is_said_and_nothing_stays(
    name: str, left: float, tmp_path: Path, root: Path
) -> None:
    place = tmp_path / "set" / name
    if name == "a.parquet":
        parquet(place, PICTURES, [0, 1] * 4, ["a", "b"])
    else:
        tar(place, samples("abababab"))
    content = place.read_bytes()
    place.write_bytes(content[: int(left * len(content))])
    with pytest.raises(FanlightError):
        load(place.parent, "train", root)
    assert not [*root.glob(f"{archives.UNPACKED}/*")]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0.0, 1.0, 1.0, 0.0], ["0", "1"]),  # as pandas writes whole numbers
        ([-1, 1, 1, -1], ["1", "-1"]),  # words behind numbers
        ([True, False, True, False], ["False", "True"]),
        ([" a ", "b", "b", "a"], ["a", "b"]),
        ([10, 9, 9, 10], ["9", "10"]),
    ],
)
def test_labels_of_several_kinds(
    labels: list[object], expected: list[str], tmp_path: Path, root: Path
) -> None:
    place = parquet(tmp_path / "a.parquet", PICTURES[:4], labels, None)
    assert list(load(place, "train", root).labels) == expected


def test_a_member_that_claims_too_much_is_not_read(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "MOST_OF_PICTURE", 100)
    with pytest.raises(DatasetError, match=r"0000.png claims [\d,]+ bytes"):
        load(tar(tmp_path / "a.tar", samples("abab")), "train", root)


def test_labels_beyond_the_names_and_shards_of_no_split(tmp_path: Path, root: Path) -> None:
    place = parquet(tmp_path / "a.parquet", PICTURES[:2], [0, 2], ["a", "b"])
    with pytest.raises(DatasetError, match="has the label 2, and names for 2 classes"):
        load(place, "train", root)
    for name in ("train-0", "more-0"):
        parquet(tmp_path / "set" / f"{name}.parquet", PICTURES[:2], [0, 1], ["a", "b"])
    with pytest.raises(DatasetError, match=r"others don't: more-0.parquet"):
        load(tmp_path / "set", "train", root)


def test_folders_and_tars_of_pictures_are_no_shards(tmp_path: Path) -> None:
    (tmp_path / "set" / "cat").mkdir(parents=True)
    (tmp_path / "set" / "cat" / "a.png").write_bytes(PICTURES[0])
    pq.write_table(pa.table({"x": [1]}), tmp_path / "set" / "meta.parquet")
    assert not shards.of(tmp_path / "set")
    assert not shards.of(tar(tmp_path / "a.tar", {"cat/a.png": b"", "dog/b.png": b""}))
    assert not shards.of(tar(tmp_path / "b.tar", {"cat/a.png": b"", "cat/labels.json": b""}))
    assert not shards.of(tmp_path / "absent")
