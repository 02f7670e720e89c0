"""One's own pictures: a folder → `fit` → a running service answers for the new model."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image

from models import checkpoint
from service.settings import SHIPPED
from tests.e2e.servers import running
from tests.networks import DATA, encode
from tests.waiting import until

COUNTS = {"ankle-boot": 100, "bag": 100, "trouser": 40}
WAIT = 60  # seconds until a running service must have seen the model; it looks every two


def view(label: str, generator: np.random.Generator) -> Image.Image:
    """The sample of that class, shifted, scaled and noisy, in a picture of odd size."""
    width, height = generator.integers(33, 80, size=2) | 1
    side = round(min(width, height) * generator.uniform(0.6, 1))
    with Image.open(DATA / "fashion-mnist" / f"{label}.png") as sample:
        scaled = sample.convert("L").resize((side, side))
    picture = Image.new("L", (width, height))
    left, top = generator.integers(0, [width - side + 1, height - side + 1])
    picture.paste(scaled, (int(left), int(top)))
    noise = generator.normal(0, 12, (height, width))
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """JPEG and PNG, some in folders inside their class's; three files are broken."""
    generator = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    for label, count in COUNTS.items():
        for number in range(count):
            name = f"{number:03}.{'png' if number % 2 else 'jpg'}"
            path = folder / label / ("more" if number % 3 else "") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            view(label, generator).save(path)
    whole = (folder / "bag" / "003.png").read_bytes()
    (folder / "bag" / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "bag" / "text.jpg").write_text("no picture")
    (folder / "trouser" / "more" / "empty.png").write_bytes(b"")
    return folder


@pytest.mark.thorough
def test_a_folder_becomes_a_served_model(pictures: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(checkpoint.find(SHIPPED, "mnist"), repository / "mnist" / "1")
    with running(tmp_path / "log", "--repository", str(repository)) as server:
        command = [sys.executable, "-m", "training", "fit", str(pictures), "--name", "pets"]
        command += ["--epochs", "6", "--repository", str(repository), "--device", "cpu"]
        command += ["--runs", str(tmp_path / "runs")]
        fit = subprocess.run(command, capture_output=True, text=True)
        assert fit.returncode == 0, fit.stderr
        for line in (
            "broken (3)",
            f"  {pictures}/bag/text.jpg: broken: not a picture of a known format",
            f"  {pictures}/bag/truncated.png: broken: corrupt or truncated",
            f"  {pictures}/trouser/more/empty.png: broken: empty: the file has no bytes",
            "the classes differ in size: ankle-boot 80, bag ",
            "with --class-weights balanced",
            f"published pets/1 in {repository}",
        ):
            assert line in fit.stdout
        counts = [int(count) for count in re.findall(r"(\d+) pictures from", fit.stdout)]
        assert len(counts) == 2  # for training and for testing
        assert sum(counts) == sum(COUNTS.values())

        until(lambda: httpx.get(f"{server.url}/v1/models/pets").status_code == 200, WAIT)
        generator = np.random.default_rng(1)
        views = [(label, view(label, generator)) for label in COUNTS for _ in range(5)]
        parts = [("images", (f"{i}.png", encode(image))) for i, (_, image) in enumerate(views)]
        answer = httpx.post(f"{server.url}/v1/models/pets/predict", files=parts)
        assert answer.status_code == 200, answer.text
        found = [prediction["label"] for prediction in answer.json()["predictions"]]
        assert sum(a == b for a, (b, _) in zip(found, views, strict=True)) >= 12
