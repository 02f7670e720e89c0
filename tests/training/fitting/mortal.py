"""`python -m training` as a process that is killed before a certain call.

    python -m tests.training.mortal replace 3 fit mnist …

The third renaming of a finished draft is never made. SIGKILL leaves no time to tidy up.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fanlight.command import main

CALLS: dict[str, Any] = {"replace": Path, "rename": Path, "fsync": os}


def kill_before(name: str, number: int) -> None:
    """Let this process be killed instead of the call of that name and number, from 1."""
    module = CALLS[name]
    original: Callable[..., Any] = getattr(module, name)
    count = 0

    def call(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    setattr(module, name, call)


if __name__ == "__main__":
    kill_before(sys.argv[1], int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
