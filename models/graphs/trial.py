"""A trial run of an untrusted graph in its own process: bytes on stdin → what is wrong, on stdout.

onnx and ONNX Runtime are C++, which a crafted graph may crash. The trial does with the graph what
the serving process will do with it later. The kernel limits its processor time and address space.
"""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.errors import FanlightError
from models.graphs import costs, parsing, shapes
from models.graphs.errors import GraphError, needed, reason
from models.graphs.session import session

MAX_SECONDS = 60  # of processor time
MAX_MEMORY = 3 * 2**30  # bytes beyond those of the process
TIMES = 8  # the size of the file, that may be needed beyond that
PROGRAM = "from models.graphs import trial; trial.main()"
_BATCH = 2  # images, of a graph that takes any number


def check(content: bytes) -> None:
    """Try a graph in its own process; raise `GraphError` if it fails, crashes or takes too long or
    too much memory."""
    needed("onnx")
    needed("onnxruntime")
    paths = f"import sys; sys.path[:0] = {sys.path!r}"  # wherever Fanlight is installed
    limits = f"{MAX_SECONDS} {MAX_MEMORY + TIMES * len(content)}"
    try:
        done = subprocess.run(  # noqa: S603 (a program of ours)
            [sys.executable, "-P", "-c", f"{paths}; {PROGRAM}", *limits.split()],
            input=content,
            capture_output=True,
            timeout=4 * MAX_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise _too_long() from error
    except OSError as error:
        raise GraphError(f"no process could be started to try it in: {error.strerror}") from error
    if done.returncode == -signal.SIGXCPU:
        raise _too_long()
    try:
        told = json.loads(done.stdout)
    except ValueError as error:
        raise GraphError(
            f"it makes onnx or ONNX Runtime crash (exit code {done.returncode}); export it again, "
            "with another exporter or opset"
        ) from error
    if told is not None:
        raise GraphError(str(told))


def _too_long() -> GraphError:
    return GraphError(
        f"a few images take it more than {MAX_SECONDS} seconds; take a smaller network or input"
    )


def main() -> None:
    """Try the graph on stdin within the limits of the arguments; write JSON: a reason, or null."""
    import onnx.reference  # noqa: F401 (what is imported takes no part of the limits)
    import onnxruntime  # noqa: F401

    seconds, memory = map(int, sys.argv[1:])
    content = sys.stdin.buffer.read()
    limit(seconds, memory)
    try:
        _run(content)
        told = None
    except FanlightError as error:
        told = str(error)
    except MemoryError:
        told = f"it takes more than {memory:,} bytes of memory; take a smaller network or input"
    except Exception as error:  # whatever onnxruntime raises
        told = f"ONNX Runtime can't run it: {reason(error)}"
    sys.stdout.write(json.dumps(told))


def _run(content: bytes) -> None:
    model = parsing.parse(content)
    size, own = costs.bounded(model)
    running = session(content, 1)
    name = shapes.image_input(model)
    shape: Sequence[int] = own.of.get(name, ())[1:]
    for count in [size] if size is not None else [1, _BATCH]:
        for level in (0, 1):
            running.run(None, {name: np.full((count, *shape), level, np.float32)})


def limit(seconds: int, memory: int) -> None:
    """Limit this process to `seconds` more of processor time and, on Linux, `memory` more bytes."""
    used = 0
    statm = Path("/proc/self/statm")
    if statm.exists():  # on Linux, which alone holds a process to the limit
        used = int(statm.read_text().split()[0]) * resource.getpagesize()
        _lower(resource.RLIMIT_AS, used + memory)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, seconds + int(spent.ru_utime + spent.ru_stime) + 1)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(kind, (limit, hard))
