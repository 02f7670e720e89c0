"""Files that the service reads again while it runs: API keys, certificates.

    files → bytes → `make` → value → `use`

Every look compares the bytes, not the times: a Secret of Kubernetes is a link that is exchanged,
and a file may be written twice within one tick of the file system's clock.
"""

import os
import stat
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from models.errors import FanlightError, damaged, message
from service.monitoring.logs import Log

LOOK_SECONDS = 2.0  # between two looks
REMIND_LOOKS = 300  # what is still wrong after these is logged once more
MAX_BYTES = 2**20  # of such a file

Value = TypeVar("Value")
log = Log()


def read(path: Path) -> bytes:
    """Read a small regular file; raise `OSError` or `DamagedFileError`.

    A pipe is refused, and opening it does not block.
    """
    with open(path, "rb", opener=_open_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise damaged(path, "is not a regular file; give the path of a file")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise damaged(path, f"is larger than {MAX_BYTES:,} bytes; is it the right file?")
    return content


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


class Reloading(Generic[Value]):
    """A watcher of files: calls `use` with a value made from them, at first and after each change.

    `make` builds the value. It raises a `FanlightError` or an `OSError` for files that can't be
    used; then the previous value stays in use, and the problem is logged. `setting` names the files
    in the log.
    """

    def __init__(
        self,
        setting: str,
        files: Sequence[Path],
        make: Callable[[], Value],
        use: Callable[[Value], None],
    ) -> None:
        self._setting, self._files, self._make, self._use = setting, tuple(files), make, use
        self._used: list[bytes] | None = None  # the contents that the value was made from
        self._problem: str | None = None
        self._looks = 0  # since the problem was logged
        self._ended = threading.Event()

    def start(self) -> None:
        """Check the files now, and then every `LOOK_SECONDS` in a thread, until `close`."""
        self.look()
        name = f"fanlight-{self._setting}"
        threading.Thread(target=self._follow, name=name, daemon=True).start()

    def close(self) -> None:
        self._ended.set()

    def look(self) -> None:
        """Read the files, and make a new value if they have changed."""
        try:
            contents = [read(path) for path in self._files]
            if contents == self._used:
                self._recovered()
                return
            value = self._make()
            if contents != [read(path) for path in self._files]:
                return  # just being written: the next look finds them whole
        except (FanlightError, OSError) as error:
            self._report(message(error) or str(error))
            return
        first, self._used = self._used is None, contents
        self._problem = None
        self._use(value)
        log.info("file_read" if first else "file_read_again", setting=self._setting)

    def _follow(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self.look()

    def _recovered(self) -> None:
        """Log that the files are as they were when the value was made, if a problem was logged."""
        if self._problem is not None:
            self._problem = None
            log.info("file_is_as_before", setting=self._setting)

    def _report(self, problem: str) -> None:
        self._looks += 1
        if problem == self._problem and self._looks < REMIND_LOOKS:
            return
        self._problem, self._looks = problem, 0
        kept = "nothing was read yet" if self._used is None else "what was read before stays in use"
        log.error("file_not_usable", setting=self._setting, problem=problem, effect=kept)
