"""When Python's garbage collector runs: one policy for the whole service.

A full collection walks over every object. After torch, FastAPI and the networks are loaded that is
hundreds of thousands of objects, and nobody is answered meanwhile. These objects stay as long as
the process, so they are frozen: later collections leave them out.
"""

import gc

# Objects allocated before a collection of generation 0, and how many collections of a generation
# come before one of the next. Requests leave almost no cycles, so these are above Python's own.
THRESHOLDS = (20_000, 20, 50)


def pause() -> None:
    """Collect nothing while modules are imported: what they define stays."""
    gc.disable()


def start() -> None:
    """End the pause, and leave what was imported out of later collections."""
    gc.freeze()
    gc.enable()


def freeze() -> None:
    """Collect once, and leave what is still there, such as networks, out of later collections."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
