"""What `fanlight score` costs beside decoding and forward passes: `python -m benchmarks score`.

The same images, on all processors, in turns:

- `bare`: processes that read each file, decode it with `models.images.decoding.read`, and run
  batches of 64 through the runtime that the service would choose, twice where the model looks
  again. Nothing else: no limits, no familiarity, no rows, no files.
- `score`: processes as `fanlight score` starts them, up to the written shards.

Both are measured in processes that have loaded the network before. The ratio is that of images a
second, `score` to `bare`, of each round; the median of the rounds counts, so that a machine whose
speed varies slows both. The images are those of the tests, each changed a little, so that a model
is as sure of them as it usually is.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from fanlight.scoring import work as works
from fanlight.scoring.folder import Folder
from fanlight.scoring.scorer import Job, Scorer
from fanlight.scoring.sources import opening
from fanlight.scoring.work import Work
from models import checkpoint, repositories
from models.images import decoding
from service.inference import outputs
from service.inference.runtimes import choice, onnx_cache
from service.inference.runtimes.onnx_cache import Graphs
from service.process import cpu
from service.settings import SHIPPED, Settings

BATCH = 64
DATA = Path(__file__).parents[1] / "tests" / "data"
KINDS = {  # name → model, folder of images, format, width and height
    "digits": ("mnist-cnn", "digits", "PNG", (28, 28)),
    "clothes": ("fashion-mnist", "fashion-mnist", "PNG", (28, 28)),
    "thumbnails": ("birds-vs-planes", "birds-vs-planes", "JPEG", (32, 32)),
    "web": ("birds-vs-planes", "birds-vs-planes", "JPEG", (320, 320)),
    "photographs": ("birds-vs-planes", "birds-vs-planes", "JPEG", (1600, 1600)),
}


def make(folder: Path, kind: str, count: int) -> None:
    """Write `count` images, in turns those of a folder of tests, of other brightness each."""
    _, data, format, size = KINDS[kind]
    originals = [Image.open(path) for path in sorted((DATA / data).glob("*.png"))]
    for number in range(count):
        image = originals[number % len(originals)].convert("L" if format == "PNG" else "RGB")
        image = image.resize(size, Image.Resampling.BICUBIC)
        image = image.point(lambda level, part=1 - number % 16 / 100: round(level * part))
        content = BytesIO()
        image.save(content, format)
        (folder / f"{number:06}.{format.lower()}").write_bytes(content.getvalue())


_bare: Callable[[list[Path]], int]
_scorer: Scorer


def _begin_bare(job: Job) -> None:
    global _bare
    torch.set_num_threads(1)
    loaded = checkpoint.load(job.version, torch.device("cpu"))
    graphs = Graphs(onnx_cache.usual_folder())
    chosen = choice.choose(loaded, "auto", "float32", 1, max_batch_size=BATCH, graphs=graphs)
    spec = loaded.card.input

    def bare(paths: list[Path]) -> int:
        for at in range(0, len(paths), BATCH):
            pixels = [decoding.read(path.read_bytes(), spec) for path in paths[at : at + BATCH]]
            batch = np.array(pixels)
            found = outputs.split(chosen.runtime(batch), len(loaded.card.labels))
            outputs.looked_again(found, batch, loaded.trust, chosen.runtime)
        return len(paths)

    _bare = bare


def _run_bare(paths: list[Path]) -> int:
    return _bare(paths)


def _begin_score(job: Job) -> None:
    global _scorer
    _scorer = Scorer(job)


def _run_score(work: Work) -> works.Done:
    return works.done(_scorer, work)


def rounds(kind: str, images: int, turns: int, processes: int) -> Iterator[tuple[float, float]]:
    """Yield images a second of each round: bare, score."""
    model = KINDS[kind][0]
    settings = Settings(device="cpu")
    job = Job(repositories.find((SHIPPED,), model).absolute(), settings, 5)
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as name,
        ProcessPoolExecutor(processes, context, _begin_bare, (job,)) as bare,
        ProcessPoolExecutor(processes, context, _begin_score, (job,)) as score,
    ):
        place = Path(name)
        (place / "images").mkdir()
        make(place / "images", kind, images)
        source = opening.opened(str(place / "images"))
        paths = sorted((place / "images").iterdir())
        size = max(BATCH, images // (4 * processes))
        parts = [(at, min(at + size, images)) for at in range(0, images, size)]
        folder = Folder(place / "out", "parquet")
        with folder.locked():
            for turn in range(turns + 1):
                started = time.perf_counter()
                list(bare.map(_run_bare, [paths[start:stop] for start, stop in parts]))
                between = time.perf_counter()
                work = [
                    Work(number, start, source.piece(start, stop), "parquet")
                    for number, (start, stop) in enumerate(parts)
                ]
                for done in score.map(_run_score, work):
                    folder.write(done.number, done.content)
                ended = time.perf_counter()
                if turn:  # the first has loaded the networks
                    yield images / (between - started), images / (ended - between)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seconds", type=float, default=2.0, help="about, of each turn")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--processes", type=int, default=cpu.available_cpus())
    arguments = parser.parse_args()
    print(f"{'images':14}{'model':18}{'pixels':>12}{'bare /s':>10}{'score /s':>10}{'ratio':>8}")
    for kind in arguments.kinds:
        model, _, _, (width, height) = KINDS[kind]
        pixels = width * height
        count = int(arguments.seconds * arguments.processes * min(4000, 4e7 / pixels))
        found = list(rounds(kind, max(count, 64), arguments.turns, arguments.processes))
        bare, score = (median(each) for each in zip(*found, strict=True))
        ratio = median(second / first for first, second in found)
        print(
            f"{kind:14}{model:18}{f'{width}×{height}':>12}{bare:10,.0f}{score:10,.0f}{ratio:8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
