"""How far an explanation is: forward passes of images that have run, out of all that it takes."""

from collections.abc import Callable

Told = Callable[[int, int], None]
"""A callback on the event loop: gets the passes that are done, 0 at first, and their total."""


def unheard(_done: int, _total: int, /) -> None:
    """Do nothing: the callback of a request that does not follow the progress."""


class Progress:
    """A counter of passes, at most `passes` for each of `images`; calls `told` on a change."""

    def __init__(self, images: int, passes: int, told: Told) -> None:
        self._passes, self._told = passes, told
        self._done, self._total = 0, images * passes
        told(0, self._total)

    def ran(self, passes: int) -> None:
        """Count `passes` more passes that have run."""
        self._reach(self._done + passes)

    def finished(self, images: int) -> None:
        """Set the progress to `images` explained images, however many passes they took."""
        self._reach(images * self._passes)

    def _reach(self, done: int) -> None:
        done = min(done, self._total)
        if done > self._done:
            self._done = done
            self._told(done, self._total)
