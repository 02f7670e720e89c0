"""How far an explanation is: passes of images that have run, out of all that it takes."""

from collections.abc import Callable

Told = Callable[[int, int], None]
"""Called on the event loop with the passes that are done and their total, at first with 0 done."""


def unheard(_done: int, _total: int, /) -> None:
    """Nobody asks how far it is."""


class Progress:
    """Counts the passes of `images`, at most `passes` for each; tells only what has changed."""

    def __init__(self, images: int, passes: int, told: Told) -> None:
        self._passes, self._told = passes, told
        self._done, self._total = 0, images * passes
        told(0, self._total)

    def ran(self, passes: int) -> None:
        """So many more have run."""
        self._reach(self._done + passes)

    def finished(self, images: int) -> None:
        """So many images are explained, however many passes that took."""
        self._reach(images * self._passes)

    def _reach(self, done: int) -> None:
        done = min(done, self._total)
        if done > self._done:
            self._done = done
            self._told(done, self._total)
