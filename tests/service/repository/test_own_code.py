"""A version whose card names code of others is served only where the operator allows it."""

import json
from pathlib import Path

import pytest
import torch

from models import checkpoint
from models.architectures import registry
from models.preprocessing import InputSpec
from service.settings import Settings
from tests.networks import encode, picture
from tests.own_code import Write, write
from tests.service.conftest import Serve

__all__ = ["write"]
NET = """
class Net(nn.Sequential):
    def __init__(self, n_classes):
        super().__init__(nn.Flatten(), nn.Linear(192, n_classes))
"""


def published(repository: Path, reference: str, name: str = "own") -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = registry.named(reference).build(2)
    checkpoint.publish(
        repository,
        network,
        name=name,
        architecture=reference,
        labels=("a", "b"),
        input=InputSpec(channels=3, height=8, width=8),
    )


def named(card: Path, reference: str) -> None:
    """A card that somebody has changed."""
    content = json.loads(card.read_text())
    card.write_text(json.dumps(content | {"architecture": reference, "arguments": {}}))


def states(serve: Serve, **settings: object) -> dict[str, dict[str, str]]:
    models = serve(runtime="torch", **settings).get("/v1/models").json()["models"]
    return {model["name"]: model["versions"][-1] for model in models}


@pytest.mark.slow
def test_allowed_code_answers(serve: Serve, repository: Path, write: Write) -> None:
    module = write(NET)
    published(repository, f"{module}:Net")
    client = serve(architectures=module, runtime="torch")
    image = picture(0)
    files = [("images", ("a.png", encode(image), "image/png"))]
    [found] = client.post("/v1/models/own/predict", files=files).json()["predictions"]
    spec = InputSpec(channels=3, height=8, width=8)
    loaded = checkpoint.load_named(
        repository, "own", 1, torch.device("cpu"), Settings(architectures=(module,)).permission
    )
    with torch.inference_mode():
        expected = loaded.network(spec.normalize(spec.pixels(image)[None])).softmax(1).max()
    assert found["score"] == pytest.approx(float(expected), abs=1e-6)
    described = client.get("/v1/models/own").json()
    assert described["architecture"]["name"] == f"{module}:Net"
    assert described["architecture"]["parameters"] == {}
    [answer] = client.post("/v1/models/own/explain?method=saliency", files=files).json()[
        "explanations"
    ]
    assert answer["target"]["label"] == found["label"]


@pytest.mark.slow
def test_code_whose_way_depends_on_values_is_not_exported(
    serve: Serve, repository: Path, write: Write
) -> None:
    module = write("""
        class Net(nn.Module):
            def __init__(self, n_classes):
                super().__init__()
                self.fc = nn.Linear(192, n_classes)
            def forward(self, x):
                logits = self.fc(x.flatten(1))
                return -logits if x[0, 0, 0, 0] > 0.99 else logits
    """)
    published(repository, f"{module}:Net")
    client = serve(architectures=module)
    [version] = client.get("/v1/models/own").json()["versions"]
    assert version["runtime"] == "torch"
    assert version["fallback"].startswith("no ONNX graph: what it computes may depend on values")


@pytest.mark.slow
@pytest.mark.parametrize("allowed", ["", "{}x", "other", "{}.Net"])
def test_other_code_is_not_imported_and_harms_no_other(
    allowed: str, serve: Serve, repository: Path, write: Write, tmp_path: Path
) -> None:
    module = write(NET)
    published(repository, f"{module}:Net")
    modules = (allowed.format(module),) if allowed else ()
    found = states(serve, architectures=modules)
    assert found["colors"]["state"] == "ready"
    assert found["own"]["state"] == "failed"
    assert f"allow it with --architectures {module}" in found["own"]["reason"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "reference",
    [
        "os:system",
        "builtins:exec",
        "subprocess:Popen",
        "torch.hub:load",
        "torch.nn:Linear",
        "service.app:create_app",
        "MODULE:system",
        "MODULE:Linear",
        "MODULE:__import__",
        "MODULE:nn.Linear",
        ".MODULE:Net",
        "MODULE..x:Net",
        "MODULE.__init__:Net",
        "MODULEx:Net",
        "timm/hf-hub:someone/net",
        "torchvision/../os",
    ],
)
def test_a_card_of_somebody_else_makes_nothing_run(
    reference: str, serve: Serve, repository: Path, write: Write
) -> None:
    module = write(NET + "from os import system\nfrom torch.nn import Linear\n")
    named(repository / "colors" / "2" / "card.json", reference.replace("MODULE", module))
    models = serve(architectures=module, runtime="torch").get("/v1/models").json()["models"]
    [first, second] = models[0]["versions"]
    assert (first["state"], second["state"]) == ("ready", "failed")
    assert second["reason"] != "internal error; see the log"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise SystemExit(3)", "ends the program when it is imported"),
        ("x = 1 / 0", "can't be imported"),
        ("x = (", "can't be imported"),
        ("net = 3", "has no 'Net'; its networks are none"),
        ("def Net(): raise MemoryError", "can't be built"),
        ("Net = nn.Linear(192, 3)", "Error(s) in loading state_dict"),
    ],
)
def test_code_that_fails_harms_no_other(
    text: str, reason: str, serve: Serve, repository: Path, write: Write
) -> None:
    module = write(NET)
    published(repository, f"{module}:Net")
    other = write(text)
    named(repository / "own" / "1" / "card.json", f"{other}:Net")
    found = states(serve, architectures=(module, other))
    assert found["colors"]["state"] == "ready"
    assert reason in found["own"]["reason"]


@pytest.mark.slow
def test_the_repository_is_no_place_to_import_from(
    serve: Serve, repository: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = write(NET)
    published(repository, f"{module}:Net")
    for folder in (repository, repository / "own"):
        (folder / "planted.py").write_text("raise SystemError('it was imported')")
        monkeypatch.chdir(folder)
        named(repository / "own" / "1" / "card.json", "planted:Net")
        found = states(serve, architectures="planted")
        assert found["own"]["reason"].startswith("there is no module planted")


def test_settings_take_several_and_pass_them_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANLIGHT_ARCHITECTURES", "mine.nets, theirs")
    settings = Settings()
    assert settings.architectures == ("mine.nets", "theirs")
    assert settings.environment()["FANLIGHT_ARCHITECTURES"] == "mine.nets,theirs"
    none = Settings(architectures=())
    assert none.environment()["FANLIGHT_ARCHITECTURES"] == ""  # so that workers have none either
    assert not none.permission.allows("theirs")
    assert Settings(architectures=("a b",)).permission.allows("b.c")
