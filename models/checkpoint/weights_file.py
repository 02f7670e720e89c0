"""Checks of what a file of weights claims, before torch allocates anything for it.

    directory of the archive → sizes of its entries → pickle, read with inert stand-ins
                             → the claimed storages and tensors, compared with the entries

`torch.load(…, weights_only=True)` runs no code of a file, but believes its sizes: a small file with
compressed or overlapping entries, or a tensor of a billion elements, would fill the memory.
"""

import copy
import struct
import zipfile
from io import BytesIO
from typing import IO, BinaryIO

from models.checkpoint.pickles import Others, Storage, UnsafeWeightsError, check_pickle

MAX_PICKLE_BYTES = 4 * 2**20
"""Limit of the pickle, which has names and shapes: about 300 bytes per tensor."""
MAX_DIRECTORY_BYTES = 4 * 2**20
"""Limit of the archive's directory, the list of entries: about 100 bytes per tensor."""
_END = struct.Struct("<4s4HIIH")  # of an archive: its last 22 bytes, if it has no comment
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
_CHUNK = 2**20  # bytes that are read at a time
_LEGACY_PICKLES = 5  # magic number, protocol, system, the object, the keys of its storages


def check(file: BinaryIO, size: int, others: Others | None = None) -> None:
    """Raise `UnsafeWeightsError` if torch would need more memory for a file than its `size`.

    Leaves the position at the beginning of the file. A file that torch didn't write may pass: torch
    itself refuses it. Objects that no state_dict needs are refused, unless `others` is given, as
    for files that Fanlight didn't write: it collects the names of their classes and functions, and
    the checksums of the archive are compared. A file of torch before 1.6 has no checksums, so
    damage in it may go unnoticed.
    """
    file.seek(0)
    is_archive = file.read(4) == b"PK\x03\x04"  # what torch looks at
    file.seek(0)
    try:
        if is_archive:
            _check_archive(file, size, others)
        else:
            _check_legacy(file, size, others)
    except (UnsafeWeightsError, OSError):
        raise
    except (MemoryError, RecursionError) as error:
        raise UnsafeWeightsError(f"its pickle can't be read: {type(error).__name__}") from error
    except Exception as error:  # zipfile and pickle raise whatever they meet
        raise UnsafeWeightsError(str(error) or type(error).__name__) from error
    file.seek(0)


def _check_archive(file: BinaryIO, size: int, others: Others | None) -> None:
    _check_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        sizes = {entry.filename: entry.file_size for entry in entries}
        if len(sizes) < len(entries):
            raise UnsafeWeightsError("two entries of the archive have one name")
        if (claimed := sum(sizes.values())) > size:
            raise UnsafeWeightsError(
                f"its entries claim {claimed:,} bytes in a file of {size:,}: they are "
                "compressed or overlap, which torch.save does not write"
            )
        pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
        if len(pickles) != 1:
            raise UnsafeWeightsError(f"the archive has {len(pickles)} data.pkl, not one")
        if pickles[0].file_size > MAX_PICKLE_BYTES:
            raise UnsafeWeightsError(
                f"its data.pkl has {pickles[0].file_size:,} bytes; at most {MAX_PICKLE_BYTES:,} "
                "are read (arrays of numpy lie in it, tensors do not: save tensors)"
            )
        prefix = pickles[0].filename.removesuffix("data.pkl") + "data/"
        if others is not None:
            _check_sums(archive, entries, prefix)
        with _opened(archive, pickles[0]) as entry:
            content = entry.read()

    def check_storage(storage: Storage) -> None:
        held = sizes.get(prefix + storage.key)
        if held is None or storage.bytes > held:
            raise UnsafeWeightsError(
                f"storage {storage.key!r} claims {storage.bytes:,} bytes, and has {held or 0:,}"
            )

    check_pickle(BytesIO(content), check_storage, others)


def _check_sums(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], storages: str) -> None:
    """Compare each entry of the archive with its checksum, which torch does not do.

    `storages` is the prefix of the storages' names. torch.save can write a file without checksums
    (`torch.serialization.set_crc32_options`), which is allowed. It can also leave out the values of
    the storages and their checksums (`torch.serialization.skip_data`), which is refused.
    """
    summed = [entry for entry in entries if _has_sum(entry)]
    unsummed = [entry for entry in entries if entry.file_size and not _has_sum(entry)]
    if summed and any(entry.filename.startswith(storages) for entry in unsummed):
        raise UnsafeWeightsError(
            "it was saved without the values of its tensors (torch.serialization.skip_data): save "
            "it again with them"
        )
    for entry in summed:
        try:
            with _opened(archive, entry) as content:
                while content.read(_CHUNK):
                    pass
        except (zipfile.BadZipFile, EOFError) as error:
            raise UnsafeWeightsError(
                f"its entry {entry.filename!r} does not have the checksum that is stated: the file "
                "is damaged. Copy or download it again"
            ) from error


def _has_sum(entry: zipfile.ZipInfo) -> bool:
    return entry.CRC != 0


def _opened(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    """Open an entry for reading; at its end a wrong checksum raises `BadZipFile`, if it has one."""
    if not _has_sum(entry):
        entry = copy.copy(entry)
        del entry.CRC  # zipfile then compares nothing
    return archive.open(entry)


def _check_directory(file: BinaryIO, size: int) -> None:
    """Raise `UnsafeWeightsError` unless the archive's directory is small and at the end of the
    file, where every reader looks for it."""
    file.seek(max(0, size - _END.size))
    end = file.read(_END.size)
    if len(end) < _END.size or not end.startswith(b"PK\x05\x06") or not end.endswith(b"\0\0"):
        raise UnsafeWeightsError("the archive does not end with its directory; it may be cut off")
    length = _END.unpack(end)[5]
    locator_at = size - _END.size - _LOCATOR64.size
    if locator_at >= 0:
        file.seek(locator_at)
        signature, _disk, offset, _disks = _LOCATOR64.unpack(file.read(_LOCATOR64.size))
        if signature == b"PK\x06\x07":
            file.seek(min(offset, size))
            record = file.read(_END64.size)
            if len(record) == _END64.size:
                length = _END64.unpack(record)[8]
    if length > MAX_DIRECTORY_BYTES:
        raise UnsafeWeightsError(
            f"the archive's directory has {length:,} bytes; at most "
            f"{MAX_DIRECTORY_BYTES:,} are read"
        )
    file.seek(0)


def _check_legacy(file: BinaryIO, size: int, others: Others | None) -> None:
    """Check a file written by torch.save before torch 1.6: pickles, then the storages."""
    head = BytesIO(file.read(MAX_PICKLE_BYTES))
    claimed: dict[str, int] = {}

    def check_storage(storage: Storage) -> None:
        claimed[storage.key] = storage.bytes
        if sum(claimed.values()) > size:
            raise UnsafeWeightsError(
                f"its tensors claim more than {storage.bytes:,} bytes in a file of {size:,}"
            )

    for _ in range(_LEGACY_PICKLES):
        check_pickle(head, check_storage, others)
