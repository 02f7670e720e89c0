"""A file of weights takes no more memory than it is large, whatever it claims."""

import codecs
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
import torch
from torch import nn

from models.checkpoint import weights_file
from models.checkpoint.pickles import Others, UnsafeWeightsError


def saved(content: object, **options: Any) -> bytes:
    buffer = BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def check(content: bytes) -> None:
    weights_file.check(BytesIO(content), len(content))


def repacked(
    content: bytes,
    change: Callable[[str, bytes], bytes] = lambda _name, entry: entry,
    compression: int = zipfile.ZIP_STORED,
    more: tuple[tuple[str, bytes], ...] = (),
) -> bytes:
    """The archive with its entries changed."""
    buffer = BytesIO()
    with (
        zipfile.ZipFile(BytesIO(content)) as before,
        zipfile.ZipFile(buffer, "w", compression) as after,
    ):
        for name in before.namelist():
            after.writestr(name, change(name, before.read(name)))
        for name, entry in more:
            after.writestr(name, entry)
    return buffer.getvalue()


def with_pickle(content: bytes) -> bytes:
    """An archive with this in place of its pickle."""
    return repacked(
        saved({"a": torch.zeros(2)}),
        lambda name, entry: content if name.endswith("data.pkl") else entry,
    )


class Filled:
    """Unpickled, it is so many bytes."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __reduce__(self) -> tuple[Any, tuple[int]]:
        return bytearray, (self.size,)


TENSORS = {
    "bfloat16": torch.zeros(3, dtype=torch.bfloat16),
    "float8": torch.zeros(3, dtype=torch.float8_e4m3fn),
    "uint16": torch.zeros(5, dtype=torch.uint16),
    "complex": torch.zeros(2, dtype=torch.complex64),
    "bool": torch.zeros(2, dtype=torch.bool),
    "parameter": nn.Parameter(torch.zeros(2)),
    "empty": torch.zeros(0, 3),
    "scalar": torch.tensor(1.0),
    "transposed": torch.zeros(8, 3).t(),
    "part": torch.zeros(8, 8)[::2, 1:3],
}


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "content",
    [
        network().state_dict(),
        dict(network().half().state_dict()),
        TENSORS,
        {"tied": TENSORS["bfloat16"], "to": TENSORS["bfloat16"]},
        {"model": {"a": 1, "b": (1.5, None, "x", True)}},
        [torch.zeros(2)],
    ],
    ids=["state_dict", "half", "tensors", "tied", "nested", "list"],
)
def test_what_torch_saves_passes(content: object, new: bool) -> None:
    check(saved(content, _use_new_zipfile_serialization=new))


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.zeros(1).expand(10**9)}, r"shape \(1000000000,\).* 1 elements"),
        ({"a": torch.zeros(5).as_strided((3, 3), (1, 1))}, r"shape \(3, 3\).* 5 elements"),
        ({"a": Filled(10**9)}, "bytearray, which no state_dict needs"),
        ({"a": torch.zeros(3, 3).to_sparse()}, "_rebuild_sparse_tensor"),
        ({"a": torch.zeros(3, device="meta")}, "_rebuild_meta_tensor_no_storage"),
        (network(), "torch.nn.modules"),
    ],
    ids=["expanded", "overlapping", "bytearray", "sparse", "meta", "module"],
)
def test_what_no_state_dict_needs(content: object, message: str, new: bool) -> None:
    with pytest.raises(UnsafeWeightsError, match=message):
        check(saved(content, _use_new_zipfile_serialization=new))


def test_compressed_entries() -> None:
    with pytest.raises(UnsafeWeightsError, match="they are compressed or overlap"):
        check(repacked(saved({"a": torch.zeros(10**6)}), compression=zipfile.ZIP_DEFLATED))


def test_overlapping_entries() -> None:
    """Two names in the directory for one entry of the file."""
    content = bytearray(saved({"a": torch.ones(10**5), "b": torch.ones(10**5)}))
    with zipfile.ZipFile(BytesIO(bytes(content))) as archive:
        first, second = (archive.getinfo(f"archive/data/{key}") for key in (0, 1))
    small = bytearray(content[: second.header_offset])  # without the second, but with its name
    start = content.index(b"PK\x01\x02")
    moved = bytearray(content[start:])
    at = moved.index(b"archive/data/1") - 4
    moved[at : at + 4] = struct.pack("<I", first.header_offset)
    end = moved.rindex(b"PK\x05\x06")
    moved[end + 16 : end + 20] = struct.pack("<I", len(small))
    with pytest.raises(UnsafeWeightsError):
        check(bytes(small + moved))


def test_storages_that_claim_more_than_their_entry() -> None:
    """torch would read beyond the entry."""

    def shortened(name: str, entry: bytes) -> bytes:
        return entry[:8] if "/data/0" in name else entry

    with pytest.raises(UnsafeWeightsError, match="'0' claims 12 bytes, and has 8"):
        check(repacked(saved({"a": torch.zeros(3)}), shortened))


def test_legacy_storages_that_claim_more_than_the_file() -> None:
    content = saved({"a": torch.zeros(255)}, _use_new_zipfile_serialization=False)
    assert content.count(b"K\xff") >= 1
    claiming = content.replace(b"K\xff", b"J" + struct.pack("<i", 2**30))
    with pytest.raises(UnsafeWeightsError, match="claim more than"):
        check(claiming)


LONG = "a" * 10**6


class Called:
    """Unpickled, it calls something."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Called(bytearray, 10**12), "calls builtins.bytearray"),
        (Called(torch.Tensor, 10**12), "calls torch.Tensor"),
        (Called(codecs.encode, "a", "utf-32"), "encodes what is no text"),
        ([Called(codecs.encode, LONG, "latin1") for _ in range(5)], "more than 4,194,304 by"),
    ],
    ids=["bytearray", "tensor", "codec", "bytes"],
)
def test_what_torch_would_call_for_a_file_of_others(content: object, message: str) -> None:
    file = saved(content)
    with pytest.raises(UnsafeWeightsError, match=message):
        weights_file.check(BytesIO(file), len(file), Others())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02}q\x00r\xff\xff\xff\x7f.", "numbers objects that are not there"),
        (b"\x80\x02(" + b"]" * 1000 + b"l.", "operation LIST"),
        (b"\x80\x02" + b" " * (4 * 2**20), "at most 4,194,304 are read"),
        (b"\x80\x02" + b"]" * 1_100_000 + b".", "more than 1,000,000 operations"),
        (b"", "exhausted|STOP"),
        (b"cos\nsystem\nX\x01\x00\x00\x00x\x85R.", "os.system"),
    ],
    ids=["memo", "list", "large", "long", "empty", "code"],
)
def test_pickles_that_torch_does_not_write(content: bytes, message: str) -> None:
    with pytest.raises(UnsafeWeightsError, match=message):
        check(with_pickle(content))


def test_an_object_of_a_pickle_can_not_change_the_stand_ins() -> None:
    """BUILD sets attributes of what is on the stack, also of a function."""
    state = b"N}X\x08\x00\x00\x00__call__K\x01s\x86b"
    for name in (b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n"):
        with suppress(UnsafeWeightsError):
            check(with_pickle(b"\x80\x02" + name + state + b"."))
    check(saved(network().state_dict()))


@pytest.mark.slow
def test_archives_with_very_many_entries() -> None:
    more = tuple((f"{number:0100}", b"") for number in range(30_000))
    with pytest.raises(UnsafeWeightsError, match=r"directory has .* at most 4,194,304 are read"):
        check(repacked(saved({"a": torch.zeros(2)}), more=more))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name() -> None:
    twice = (("archive/data/0", b"12345678"),)
    with pytest.raises(UnsafeWeightsError, match="one name"):
        check(repacked(saved({"a": torch.zeros(2)}), more=twice))


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_files_that_are_cut_off(cut: int) -> None:
    with pytest.raises(UnsafeWeightsError, match="does not end with its directory"):
        check(saved({"a": torch.zeros(2)})[:-cut])
    with pytest.raises(UnsafeWeightsError):
        check(saved({"a": torch.zeros(2)})[:cut])
