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
    """Switch the collector off while modules are imported: what they define is never garbage."""
    gc.disable()


def start() -> None:
    """Switch the collector on again. It never examines the objects that exist by now."""
    gc.freeze()
    gc.enable()


def freeze() -> None:
    """Run one full collection. Later ones never examine the objects that it has left, networks
    for example."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
