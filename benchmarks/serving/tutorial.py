"""A server as tutorials write it: FastAPI, UploadFile, Pillow, torchvision transforms, eager torch.

The baseline of `python -m benchmarks serve`. The network is read from BENCHMARK_CHECKPOINT, the
folder of a published version.
"""

import os
from pathlib import Path
from typing import Annotated, Any

import torch
from fastapi import FastAPI, File, UploadFile
from PIL import Image

from models import checkpoint
from models.torchvision_import import torchvision

loaded = checkpoint.load(Path(os.environ["BENCHMARK_CHECKPOINT"]), torch.device("cpu"))
card = loaded.card
transforms = torchvision("transforms")
transform = transforms.Compose(
    [
        *([transforms.Grayscale()] if card.input.channels == 1 else []),
        transforms.Resize((card.input.height, card.input.width)),
        transforms.ToTensor(),
        transforms.Normalize(card.input.mean, card.input.std),
    ]
)
app = FastAPI()


@app.post("/predict")
async def predict(images: Annotated[list[UploadFile], File()]) -> dict[str, Any]:
    batch = torch.stack([transform(Image.open(each.file).convert("RGB")) for each in images])
    with torch.no_grad():
        probabilities = loaded.network(batch).softmax(1)
    scores, classes = probabilities.max(1)
    return {
        "predictions": [
            {"label": card.labels[index], "score": score}
            for index, score in zip(classes.tolist(), scores.tolist(), strict=True)
        ]
    }
