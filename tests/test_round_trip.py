"""The whole way: train → publish → serve → the same numbers; and weights from elsewhere."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

from fanlight.command import main
from models import checkpoint
from models.preprocessing import decode
from service.app import create_app
from service.settings import Settings
from tests import plain_birdplane
from tests.networks import SPEC, encode, picture
from training.data import datasets
from training.fitting import predicting


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """An image folder of bright and dark noise, in several sizes and formats."""
    for split, count in (("train", 40), ("test", 12)):
        for index in range(count):
            label = ("bright", "dark")[index % 2]
            folder = tmp_path / "pictures" / split / label
            folder.mkdir(parents=True, exist_ok=True)
            image = picture(index, size=(8 + index % 5, 8 + index % 3))
            image = image.point(lambda level, b=label == "bright": level // 3 + (170 if b else 0))
            name = f"{index}.{('png', 'jpg', 'bmp')[index % 3]}"
            image.save(folder / name)
    return tmp_path / "pictures"


@pytest.mark.slow
def test_what_was_trained_is_what_is_served(pictures: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    arguments = ["fit", "mnist-cnn", "--name", "brightness", "--dataset", str(pictures)]
    arguments += ["--architecture", "tiny", "--epochs", "20", "--learning-rate", "0.05"]
    arguments += ["--repository", str(repository), "--runs", str(tmp_path / "runs")]
    assert main([*arguments, "--device", "cpu"]) == 0

    test = datasets.load(str(pictures), "test", tmp_path, SPEC)
    loaded = checkpoint.load(repository / "brightness" / "1", torch.device("cpu"))
    trained = predicting.predict(loaded.network, test, SPEC)
    files = sorted((pictures / "test" / "bright").iterdir())
    files += sorted((pictures / "test" / "dark").iterdir())

    served = torch.stack([SPEC.pixels(decode(file.read_bytes())) for file in files])
    with torch.inference_mode():
        assert torch.equal(loaded.network(SPEC.normalize(served)), trained)

    app = create_app(Settings(repository=repository, device="cpu"))
    with TestClient(app) as client:
        assert client.portal is not None
        client.portal.call(app.state.repository.loaded)
        parts = [("images", (file.name, file.read_bytes())) for file in files]
        answer = client.post("/v1/models/brightness/predict", files=parts).json()
    expected = trained.softmax(1)
    for index, prediction in enumerate(answer["predictions"]):
        scores = {each["label"]: each["score"] for each in prediction["top"]}
        assert [scores["bright"], scores["dark"]] == pytest.approx(
            expected[index].tolist(), abs=1e-6
        )
        assert prediction["label"] == files[index].parent.name


@pytest.mark.slow
def test_a_state_dict_from_elsewhere_is_served_with_equal_logits(tmp_path: Path) -> None:
    image, repository = tmp_path / "picture.png", tmp_path / "repository"
    image.write_bytes(encode(picture(3, size=(32, 32))))
    program = [sys.executable, plain_birdplane.__file__, str(image), str(tmp_path)]
    subprocess.run(program, check=True)
    logits = torch.load(tmp_path / "logits.pt", weights_only=True)

    arguments = ["import", str(tmp_path / "weights.pt"), "--name", "elsewhere"]
    arguments += ["--architecture", "birdplane-batchnorm", "--labels", "airplane", "bird"]
    assert main([*arguments, "--repository", str(repository)]) == 0

    loaded = checkpoint.load(repository / "elsewhere" / "1", torch.device("cpu"))
    spec = loaded.card.input
    with torch.inference_mode():
        ours = loaded.network(spec.normalize(spec.pixels(decode(image.read_bytes())).unsqueeze(0)))
    torch.testing.assert_close(ours, logits, atol=1e-5, rtol=1e-5)

    app = create_app(Settings(repository=repository, device="cpu"))
    with TestClient(app) as client:
        assert client.portal is not None
        client.portal.call(app.state.repository.loaded)
        body, type = image.read_bytes(), {"Content-Type": "image/png"}
        answer = client.post("/v1/models/elsewhere/predict", content=body, headers=type).json()
    scores = {each["label"]: each["score"] for each in answer["predictions"][0]["top"]}
    expected = logits.softmax(1)[0].tolist()
    assert [scores["airplane"], scores["bird"]] == pytest.approx(expected, abs=1e-5)
