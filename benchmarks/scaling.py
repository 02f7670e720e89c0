"""What decoding JPEGs at a part of their size changes: labels and accuracy, beside full decoding.

The test pictures of birds and planes, enlarged to photographs of 256 to 1,024 pixels and saved as
JPEGs, go through the shipped network both ways. Needs the image folder `birds-vs-planes`.
"""

import argparse
import os
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models import checkpoint
from models.preprocessing import Pixels, decode, read
from service.inference.runtimes.eager import Torch
from service.settings import SHIPPED

CLASSES = ("airplane", "bird")
SIDES = (256, 512, 1024)


def photograph(file: Path, side: int) -> bytes:
    with Image.open(file) as image:
        large = image.convert("RGB").resize((side * 4 // 3, side), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    large.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks scaling", description=__doc__)
    parser.add_argument("--data-root", type=Path, default=os.environ.get("FANLIGHT_DATA", "data"))
    folder = Path(parser.parse_args().data_root) / "birds-vs-planes" / "test"
    if not folder.is_dir():
        parser.error(f"there is no folder {folder}; name the one above it with --data-root")
    loaded = checkpoint.load(checkpoint.find(SHIPPED, "birds-vs-planes"), torch.device("cpu"))
    network, spec = Torch(loaded, "float32"), loaded.card.input
    files = [(file, label) for label in CLASSES for file in sorted((folder / label).iterdir())]
    targets = np.array([loaded.card.labels.index(label) for _, label in files])
    for side in SIDES:
        full: list[Pixels] = []
        scaled: list[Pixels] = []
        for file, _ in files:
            encoded = photograph(file, side)
            full.append(spec.array(decode(encoded)))
            scaled.append(read(encoded, spec))
        found = [network(np.array(pixels)).argmax(1) for pixels in (full, scaled)]
        right = [float((labels == targets).mean()) for labels in found]
        print(
            f"{side * 4 // 3} × {side}: {(found[0] != found[1]).sum()} of {len(files)} labels "
            f"differ; accuracy {right[0]:.4f} in full, {right[1]:.4f} scaled"
        )


if __name__ == "__main__":
    main()
