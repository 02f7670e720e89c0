"""A version's folder → a verified, warmed network with its batchers, ready to serve."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial

from models import checkpoint, devices
from models.checkpoint import Checkpoint, Place
from models.preprocessing import Pixels
from models.structure import receptive_field
from models.structure.receptive_field import ReceptiveField
from service.images.unlike import Unlike
from service.inference import doubt, explanation
from service.inference.arrivals import Arrivals
from service.inference.batcher import Batcher
from service.inference.doubt import Judge
from service.inference.engine import Engine, FeatureRequest, FeatureResult, PredictionResult
from service.inference.explainer import Explainer
from service.inference.outputs import Outputs
from service.inference.runtimes import choice, onnx_cache
from service.inference.runtimes.choice import Chosen
from service.inference.runtimes.onnx_cache import Graphs
from service.inference.statistics import Statistics
from service.monitoring.metrics import Metrics
from service.monitoring.tracing import Tracing
from service.process import cpu
from service.repository import background
from service.repository.leases import Lease, Leases
from service.repository.marks import Marks
from service.settings import Settings


@dataclass(frozen=True)
class ServingModel:
    """A loaded version, with all that it needs to answer.

    A request that uses a batcher holds the lease meanwhile. The batchers of a removed version are
    closed once no request holds its lease.
    """

    checkpoint: Checkpoint
    batcher: Batcher[Pixels, PredictionResult] = field(repr=False)
    features: Batcher[FeatureRequest, FeatureResult] = field(repr=False)
    explainer: Explainer = field(repr=False)
    chosen: Chosen
    judge: Judge | None
    unlike: Unlike
    lease: Lease = field(repr=False)
    marks: Marks = field(repr=False)
    statistics: Statistics = field(repr=False)

    @cached_property
    def receptive_fields(self) -> Mapping[str, ReceptiveField]:
        """The receptive fields of layers and blocks, by name.

        To be read on the thread of explanations: they are measured on the explainer's network. The
        first time takes seconds for a large network.
        """
        structure, shape = self.checkpoint.structure, self.checkpoint.card.input.shape
        outputs = (*structure.layers, *structure.blocks)
        return receptive_field.measure(self.explainer.network, shape, outputs)


class Loader:
    """Loads versions onto the device of the settings; `leases` owns their batchers and engines.

    Raises `devices.DeviceError` for a device that is not there.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, leases: Leases, tracing: Tracing | None
    ) -> None:
        self._settings, self._metrics, self._leases = settings, metrics, leases
        self._tracing = tracing
        self.device = devices.resolve(settings.device)
        self._processors = cpu.per_worker(settings.workers)
        self._threads = settings.threads or self._processors
        asked = settings.graph_cache
        self._permission = settings.permission
        self._graphs = Graphs(asked or onnx_cache.usual_folder(), asked=asked is not None)

    async def load(self, place: Place) -> Checkpoint:
        """Read and verify the version in its folder.

        Raises `CheckpointError` for a folder that is not a valid checkpoint, and whatever torch
        raises where there is not enough memory. Files may hang for ever.
        """
        return await background.start(
            checkpoint.load,
            place,
            self.device,
            self._settings.max_checkpoint_bytes,
            self._permission,
            self._threads,
        )

    async def prepare(self, place: Place, verified: Checkpoint) -> ServingModel:
        """Choose the runtime of a version that was read, warm it, and start its batchers.

        Raises `CheckpointError` for a network without finite answers, and whatever torch raises if
        there is not enough memory.
        """
        settings = self._settings
        name, number = place.name, place.number  # the card has the same: `load` checks it
        marks = Marks(place, verified.stamps, self._metrics)
        chosen = await asyncio.to_thread(
            choice.choose,
            verified,
            settings.runtime,
            settings.precision,
            self._threads,
            max_batch_size=settings.max_batch_size,
            graphs=self._graphs,
        )
        judge = doubt.usual(verified, settings.coverage, settings.familiarity_threshold)
        if judge is not None and (why := doubt.too_low(judge.trust, judge.threshold)):
            marks.threshold_too_low(why)
        labels = verified.card.labels
        report = partial(self._metrics.versions.arrived, name, number, labels)
        arrivals = Arrivals(len(labels), judge, report)

        counted = Statistics(partial(self._metrics.versions.staged, name, number))

        def observe(outputs: Outputs, seconds: float) -> None:
            images = len(outputs.probabilities)
            self._metrics.versions.ran(name, number, images, seconds)
            counted.ran(images, seconds)
            arrivals.add(outputs)

        def tell_queue() -> None:
            self._metrics.versions.waiting(name, number, counted.decoding + batcher.waiting)

        async with AsyncExitStack() as resources:  # closed here if warming fails
            engine = Engine(
                verified,
                threads=self._threads,
                max_batch_size=settings.max_batch_size,
                eager=chosen.eager,
                runtime=chosen.runtime,
                judge=judge,
                alone=self._processors == 1,
                observe=observe,
                observe_not_finite=marks.not_finite,
            )
            resources.enter_context(self._metrics.asking(arrivals.report))
            resources.enter_context(self._metrics.asking(counted.report))
            resources.push_async_callback(asyncio.to_thread, engine.close)
            await engine.warm()
            batcher = Batcher[Pixels, PredictionResult](
                engine.run,
                max_batch_size=engine.batch_size,
                max_queue_size=settings.max_queue_size,
                max_batch_delay=settings.max_batch_delay,
                observe_waits=counted.left_queue,
                observe_batch=self._tracing.batch if self._tracing else None,
            )
            features = Batcher[FeatureRequest, FeatureResult](
                engine.activations,
                max_batch_size=settings.max_batch_size,
                max_queue_size=settings.max_queue_size,
            )
            resources.enter_context(self._metrics.asking(tell_queue))
            await resources.enter_async_context(batcher)
            await resources.enter_async_context(features)
            twin = explanation.twin(verified.network)
            explainer = Explainer.of(verified, twin, engine)
            lease = self._leases.own(resources.pop_all())
        unlike = Unlike(verified.card)
        return ServingModel(
            verified, batcher, features, explainer, chosen, judge, unlike, lease, marks, counted
        )
