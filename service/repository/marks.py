"""Problems of a version that still answers: shown to clients, counted for metrics, and logged."""

from collections.abc import Mapping

from models.checkpoint import FileStamp, Place
from service.monitoring import logs
from service.monitoring.metrics import Metrics

log = logs.Log()


class Marks:
    """The problems of one loaded version.

    `stamps` describe the files at `place` as they were loaded. Once the version is `retired`,
    changes of its files are ignored: another repository may provide its name and number by then.
    """

    def __init__(self, place: Place, stamps: Mapping[str, FileStamp], metrics: Metrics) -> None:
        self.model, self.version, self.place = place.name, place.number, place
        self.stamps = stamps
        self.retired = False
        self._metrics = metrics
        self._not_finite = 0
        self._change: str | None = None
        self._threshold: str | None = None

    def not_finite(self, images: int) -> None:
        """Count `images` more images that got no finite answer; log only the first time."""
        if not self._not_finite:
            log.error("not finite", model=self.model, version=self.version, images=images)
        self._not_finite += images
        self._metrics.versions.not_finite(self.model, self.version, images)

    def threshold_too_low(self, reason: str) -> None:
        """Record and log why the threshold in force calls no image unfamiliar."""
        self._threshold = reason
        log.warning("threshold too low", model=self.model, version=self.version, reason=reason)

    def changed(self, reason: str | None) -> None:
        """Record, log and count that the files differ from those that were loaded, with the reason;
        None says that they are the same again."""
        if reason == self._change or self.retired:
            return
        self._change = reason
        if reason is None:
            log.info("as loaded again", model=self.model, version=self.version)
        else:
            log.warning("changed", model=self.model, version=self.version, reason=reason)
        self._metrics.versions.changed(self.model, self.version, reason is not None)

    @property
    def warnings(self) -> list[str]:
        """A sentence for each problem."""
        found = []
        if self._change is not None:
            found.append(
                f"{self._change}; what was loaded goes on answering; publish another content as a "
                "new version"
            )
        if self._threshold is not None:
            found.append(f"its threshold of familiarity is too low: it {self._threshold}")
        if self._not_finite:
            found.append(
                f"{self._not_finite} images got no finite answer and were refused; train the "
                "model again, or use another version"
            )
        return found
