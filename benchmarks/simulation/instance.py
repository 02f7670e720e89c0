"""A simulated instance of the service: requests of one image → a queue with bounds → batches.

What an image costs was measured; the bounds are the defaults of the settings. The queue works as in
`service/prediction.py: Predictor` and `service/inference/batcher.py: Batcher`: a request is refused
if the queue is full, or if the images in it take longer than `max_queue_wait` at the pace of the
last batches. Images that wait for a decoder, or are with it, have the same bounds
(`service/images/decoding.py: Decoder`).
"""

from collections import deque
from dataclasses import dataclass

from service.inference.batcher import PACE_WEIGHT
from service.settings import Settings

_FIELDS = Settings.model_fields


@dataclass(frozen=True)
class Bounds:
    """What one instance takes; the defaults are those of the service."""

    max_batch_size: int = _FIELDS["max_batch_size"].default
    max_queue_size: int = _FIELDS["max_queue_size"].default
    max_queue_wait: float = _FIELDS["max_queue_wait"].default  # seconds


USUAL = Bounds()


@dataclass(frozen=True)
class Work:
    """What images of a kind cost one core. A batch of n takes `batch` + n × `image` seconds.

    Where `is_decoded_first`, the image's time is that of decoding: requests wait for a decoder, one
    by one, in front of the queue and with bounds of the same size.
    """

    name: str
    batch: float
    image: float
    is_decoded_first: bool = False

    def seconds(self, images: int) -> float:
        return self.batch + images * self.image

    def capacity(self, bounds: Bounds = USUAL) -> float:
        """Images a second that one instance answers at most."""
        size = 1 if self.is_decoded_first else bounds.max_batch_size
        return size / self.seconds(size)


# docs/speed.md, the lowest of four runs: 7,508 and 597 images a second on one core. A single small
# image took 0.26 ms or more, twice its part of a full batch.
SMALL = Work("a 28×28 PNG a request", batch=135e-6, image=131e-6)
PHOTOGRAPH = Work("a 1280×720 JPEG a request", batch=0, image=1 / 597, is_decoded_first=True)
WORKS = {"small": SMALL, "photograph": PHOTOGRAPH}


class Instance:
    """One process on one core. Times are seconds since the simulation began."""

    def __init__(self, work: Work, bounds: Bounds, began: float = 0.0) -> None:
        self._work, self._bounds = work, bounds
        self.began = began
        self._waiting: deque[float] = deque()  # when they arrived
        self._running: list[float] = []
        self._until = began  # end of the batch that runs
        self._busy = 0.0  # seconds, the running batch included
        self._pace = 0.0  # seconds an image, as the service averages it

    @property
    def queue_images(self) -> int:
        """The value of the service's gauge `fanlight_queue_images`.

        It counts images that wait, and those that are being decoded.
        """
        decoding = len(self._running) if self._work.is_decoded_first else 0
        return len(self._waiting) + decoding

    @property
    def is_idle(self) -> bool:
        return not self._running

    def takes(self) -> bool:
        """Whether a request that comes now is taken; else it gets 429."""
        if self.queue_images + 1 > self._bounds.max_queue_size:
            return False
        return len(self._waiting) * self._pace <= self._bounds.max_queue_wait

    def queue(self, now: float) -> None:
        self._waiting.append(now)

    def begin(self, now: float) -> float | None:
        """Start the next batch, and return when it ends; None if nothing waits."""
        most = 1 if self._work.is_decoded_first else self._bounds.max_batch_size
        count = min(most, len(self._waiting))
        if not count:
            return None
        self._running = [self._waiting.popleft() for _ in range(count)]
        seconds = self._work.seconds(count)
        self._until = now + seconds
        self._busy += seconds
        return self._until

    def end(self, now: float) -> list[float]:
        """End the batch that runs, and return how long its requests took."""
        took = [now - arrived for arrived in self._running]
        each = self._work.seconds(len(took)) / len(took)
        self._pace += PACE_WEIGHT * (each - self._pace)
        self._running = []
        return took

    def busy(self, now: float) -> float:
        """Seconds of processor time until now."""
        return self._busy - max(0.0, self._until - now)
