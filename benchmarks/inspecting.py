"""What explanations and feature maps cost beside a prediction: `python -m benchmarks inspecting`.

Requests over HTTP, each beside a prediction of the same images. All kinds take turns, and so does
the service of another commit (`--against COMMIT`), so that a machine whose speed varies slows all
of them. Medians; `×` is the time in predictions of the same images by the same service.
"""

import argparse
import math
import time
from collections import defaultdict
from io import BytesIO
from statistics import median
from typing import Any

import httpx2 as httpx
import numpy as np
from PIL import Image

from benchmarks.serving.started import services

Form = list[tuple[str, tuple[str, bytes, str]]]


def images(count: int, model: dict[str, Any]) -> Form:
    """Make pictures of noise of the input's size, so that hiding any window changes the image."""
    spec = model["card"]["input"]
    sides = (spec["height"], spec["width"], 3)
    noise, form = np.random.default_rng(0), []
    for _ in range(count):
        buffer = BytesIO()
        Image.fromarray(noise.integers(0, 256, sides, dtype=np.uint8)).save(buffer, "PNG")
        form.append(("images", ("noise.png", buffer.getvalue(), "image/png")))
    return form


def kinds(model: dict[str, Any]) -> dict[str, str]:
    """Return requests by name: explain methods, maps of the largest layer, the embedding."""
    layers = model["layers"]
    largest = max(layers, key=lambda layer: math.prod(layer["output_shape"]))["name"]
    methods = [each["name"] for each in model["explain_methods"]]
    return {
        **{name: f"explain?method={name}" for name in methods},
        "features": f"features?layer={largest}",
        "embedding": "features?layer=penultimate",
    }


def milliseconds(client: httpx.Client, url: str, form: Form) -> float:
    started = time.perf_counter()
    client.post(url, files=form).raise_for_status()
    return 1000 * (time.perf_counter() - started)


def report(name: str, requests: int, found: dict[str, list[tuple[float, float]]]) -> None:
    """Print a line: milliseconds and ratio to a prediction for each service.

    With two services it ends with the time of the other commit divided by that of this one.
    """
    line = f"{name:22}{requests:7}"
    for service in sorted(found, key=lambda name: name != "here"):
        pairs = found[service]
        each = median(kind / predicted for kind, predicted in pairs)
        line += f"{median(kind for kind, _ in pairs):11.1f}{each:9.1f} ×"
    if len(found) == 2:
        here, there = found["here"], next(found[name] for name in found if name != "here")
        line += f"{median(b / a for (a, _), (b, _) in zip(here, there, strict=True)):10.2f}"
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="birds-vs-planes")
    parser.add_argument("--images", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--only", nargs="+", metavar="KIND", help="such as occlusion or features")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--against", metavar="COMMIT", help="another commit, in turns")
    arguments = parser.parse_args()
    with services(arguments.against) as started, httpx.Client(timeout=300) as client:
        urls = {name: f"{url}/v1/models/{arguments.model}" for name, url in started.items()}
        model = client.get(urls["here"]).json()
        asked = {
            name: path
            for name, path in kinds(model).items()
            if name in (arguments.only or [name])
            and all(_answers(client, f"{url}/{path}", images(1, model)) for url in urls.values())
        }
        heads = "".join(f"{f'{name[:10]} ms':>11}{'':>11}" for name in urls)
        print(f"{arguments.model:22}{'images':>7}{heads}{'there/here' if len(urls) == 2 else ''}")
        found: Any = defaultdict(lambda: defaultdict(list))
        for turn in range(arguments.turns):
            order = list(urls.items())[:: -1 if turn % 2 else 1]  # neither is always first
            for count in arguments.images:
                form = images(count, model)
                for name, path in asked.items():
                    for service, url in order:
                        predicted = milliseconds(client, f"{url}/predict", form)
                        taken = milliseconds(client, f"{url}/{path}", form)
                        found[name, count][service].append((taken, predicted))
        for (name, count), pairs in sorted(found.items(), key=lambda each: each[0][1]):
            report(name, count, pairs)


def _answers(client: httpx.Client, url: str, form: Form) -> bool:
    """Return True if the service supports the request, which also loads what such requests need."""
    return client.post(url, files=form).status_code == 200


if __name__ == "__main__":
    main()
