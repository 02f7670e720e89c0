"""A scorer: pieces of a source → rows, with the service's decoder and engine, in one process.

    read (thread) → decode (`service.images.decoding.Decoder`) → batch → `service.inference.engine`

The three run at the same time, each a batch ahead of the next. A batch holds images that follow
each other in the source: they are the same in every run, and so are the answers, to the last bit.
"""

import asyncio
import contextlib
import warnings as python_warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from types import TracebackType
from typing import NamedTuple, Self

import torch

from fanlight.scoring.rows import Row
from fanlight.scoring.sources import source
from fanlight.scoring.sources.source import Piece
from models import checkpoint, devices
from models.checkpoint import Place
from models.preprocessing import Pixels
from service.errors import ServiceError, UnanswerableError, UnavailableError
from service.images.decoding import Decoder
from service.images.encoded import EncodedImage
from service.images.unlike import Unlike
from service.inference import doubt
from service.inference.engine import Engine, NotFiniteError
from service.inference.runtimes import choice, onnx_cache
from service.inference.runtimes.onnx_cache import Graphs
from service.settings import Settings

HELD_BYTES = 128 * 2**20  # of encoded images, after which a batch is full
TRIES = 3  # of an image that the machine was too busy to decode
_MAX_QUEUE_WAIT = 3600.0  # seconds, the most that a setting allows: nobody waits for these answers


@dataclass(frozen=True)
class Job:
    """What a scorer is made from: a version's place, the service's settings, labels in `top`."""

    version: Place
    settings: Settings
    top_k: int


@dataclass(frozen=True, slots=True)
class _Read:
    """An image as it was read; the error, if that failed."""

    index: int
    path: str | None
    found: bytes | ServiceError


class _Decoded(NamedTuple):
    image: _Read
    upload: EncodedImage
    pixels: Pixels


class Scorer:
    """Scores pieces one after the other; a context manager, whose end ends its processes.

    One thread computes, and one decoder process decodes what is not small.
    """

    def __init__(self, job: Job) -> None:
        self._settings = settings = job.settings.model_copy(
            update={"max_queue_wait": _MAX_QUEUE_WAIT, "max_queue_size": 4096}
        )
        self._top_k = job.top_k
        torch.set_num_threads(1)
        python_warnings.filterwarnings("ignore", module=r"PIL\.")  # of metadata nobody sees
        device = devices.resolve(settings.device)
        loaded = checkpoint.load(
            job.version, device, settings.max_checkpoint_bytes, settings.permission, 1
        )
        self._card = loaded.card
        asked = settings.graph_cache
        graphs = Graphs(asked or onnx_cache.usual_folder(), asked=asked is not None)
        most = settings.max_batch_size
        chosen = choice.choose(
            loaded, settings.runtime, settings.precision, 1, max_batch_size=most, graphs=graphs
        )
        self.fallback = chosen.fallback
        self._judge = doubt.usual(loaded, settings.coverage, settings.familiarity_threshold)
        self._unlike = Unlike(loaded.card)
        self._engine = Engine(
            loaded,
            threads=1,
            max_batch_size=most,
            eager=chosen.eager,
            runtime=chosen.runtime,
            judge=self._judge,
        )
        self._decoder = Decoder(settings, 1)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._runner.run(self._close())
        self._runner.close()
        self._engine.close()

    def score(
        self, piece: Piece, start: int, tell: Callable[[int], None] = lambda _images: None
    ) -> list[Row]:
        """Return a row for each image of the piece, in order; `start` is the index of the first.

        `tell` is called with the number of images after each batch.
        """
        return self._runner.run(self._score(piece, start, tell))

    async def _close(self) -> None:
        self._decoder.close()

    async def _score(self, piece: Piece, start: int, tell: Callable[[int], None]) -> list[Row]:
        rows: list[Row] = []
        most, size = self._settings.max_body_bytes, self._engine.batch_size
        with contextlib.closing(_batches(piece, start, size, most)) as batches:
            reading = asyncio.create_task(asyncio.to_thread(next, batches, None))
            predicting: asyncio.Task[list[Row]] | None = None
            try:
                while (batch := await reading) is not None:
                    reading = asyncio.create_task(asyncio.to_thread(next, batches, None))
                    decoded, failed = await self._decode(batch)
                    if predicting is not None:
                        rows += await predicting
                    predicting = asyncio.create_task(self._predict(decoded, failed))
                    tell(len(batch))
                if predicting is not None:
                    rows += await predicting
            finally:  # after an error, what runs still uses `batches` and the engine
                running = [each for each in (reading, predicting) if each is not None]
                await asyncio.gather(*running, return_exceptions=True)
        return rows

    async def _decode(self, batch: Sequence[_Read]) -> tuple[list[_Decoded], list[Row]]:
        """Decode a batch; return the images, and the rows of those that can't be decoded."""
        decoded, failed = [], []
        for image in batch:
            try:
                if isinstance(image.found, ServiceError):
                    raise image.found
                upload = EncodedImage(image.found, "", image.path or "")
                decoded.append(_Decoded(image, upload, await self._pixels(upload)))
            except ServiceError as error:
                failed.append(Row.of_error(image.index, image.path, error))
        return decoded, failed

    async def _pixels(self, upload: EncodedImage) -> Pixels:
        """Decode one image as the service does, small ones in this process.

        What the machine was too busy for is tried again: that is no fault of the image.
        """
        spec = self._card.input
        small = self._decoder.decode_now([upload], spec)
        if small is not None:
            return small[0]
        for attempt in range(TRIES):
            try:
                [pixels] = await self._decoder.pixels([upload], spec)
            except UnavailableError:
                if attempt == TRIES - 1:
                    raise
            else:
                break
        return pixels

    async def _predict(self, decoded: Sequence[_Decoded], rows: Sequence[Row]) -> list[Row]:
        """Predict a batch; return its rows together with these, in the order of the source."""
        if not decoded:
            return list(rows)
        found = list(rows)
        results = await self._engine.run([each.pixels for each in decoded])
        answered = []
        for each, result in zip(decoded, results, strict=True):
            if isinstance(result, NotFiniteError):
                error = UnanswerableError(str(result))
                found.append(Row.of_error(each.image.index, each.image.path, error))
            elif isinstance(result, Exception):
                raise result
            else:
                answered.append((each, result))
        judge = self._judge
        doubts = judge.doubts([result for _, result in answered]) if judge and answered else None
        told = None
        if doubts is not None:  # as in `service.prediction.Predictor.predict`
            unsure = [each.why is not None for each in doubts]
            images = [each.upload for each, _ in answered]
            told = self._unlike.warnings(images, [each.pixels for each, _ in answered], unsure)
        for place, (each, result) in enumerate(answered):
            found.append(
                Row.of_answer(
                    each.image.index,
                    each.image.path,
                    self._card,
                    result,
                    self._top_k,
                    None if doubts is None else doubts[place],
                    [] if told is None else told[place],
                )
            )
        return sorted(found, key=attrgetter("index"))


def _batches(piece: Piece, start: int, size: int, most: int) -> Generator[list[_Read]]:
    """Read a piece, and yield it in batches of `size` images, or fewer if they are large."""
    batch: list[_Read] = []
    held = 0
    for index, item in enumerate(piece.items(), start):
        image = _Read(index, item.path, source.read(item, most))
        batch.append(image)
        held += len(image.found) if isinstance(image.found, bytes) else 0
        if len(batch) == size or held >= HELD_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
