"""timm's networks by name: their preprocessing, and no way to fetch anything."""

import importlib
import socket
import sys
from typing import Any, NoReturn

import pytest
import torch

from models.architectures import registry
from models.architectures.registry import ArchitectureError
from models.errors import InstallationError
from models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, InputSpec
from models.torchvision_import import torchvision
from tests.networks import picture

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # timm's own at its import


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision("models")
    pytest.importorskip("timm")

    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("something was downloaded")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("timm")
class TestTimm:
    @pytest.mark.slow
    def test_a_network_with_its_preprocessing(self) -> None:
        known = registry.architecture("timm/resnet10t")
        assert known.input == InputSpec(
            channels=3,
            height=176,
            width=176,
            resize_size=201,
            interpolation="bicubic",
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
        )
        network = known.build(5).eval()
        with torch.inference_mode():
            assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 5)

    def test_weights_by_their_tag(self) -> None:
        assert registry.architecture("timm/resnet50.tv_in1k").input.interpolation is None
        assert registry.architecture("timm/resnet50.a1_in1k").input.interpolation == "bicubic"

    @pytest.mark.parametrize(
        ("name", "resize", "resize_size"),
        [
            ("resnet50.tv_in1k", "crop", 256),
            ("vit_base_patch16_clip_224.openai", "crop", 248),
            ("convnext_tiny.fb_in22k_ft_in1k_384", "stretch", None),
        ],
    )
    def test_the_ways_to_crop(self, name: str, resize: str, resize_size: int | None) -> None:
        spec = registry.architecture(f"timm/{name}").input
        assert (spec.resize, spec.resize_size) == (resize, resize_size)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "name", ["resnet50.tv_in1k", "resnet50.a1_in1k", "convnext_tiny.fb_in22k_ft_in1k_384"]
    )
    def test_images_are_prepared_as_timm_does(self, name: str) -> None:
        data: Any = importlib.import_module("timm.data")
        config = importlib.import_module("timm").get_pretrained_cfg(name).to_dict()
        theirs = data.create_transform(**data.resolve_data_config({}, pretrained_cfg=config))
        spec = registry.architecture(f"timm/{name}").input
        std = torch.tensor(spec.std).view(3, 1, 1)
        for seed, size in enumerate([(500, 400), (400, 517), (300, 300), (32, 32)]):
            image = picture(seed, (16, 12)).resize(size)
            found = spec.normalize(spec.pixels(image)[None])[0]
            difference = (theirs(image) - found).abs() * std * 255
            assert difference.mean() < 0.35
            assert (difference > 2.5).float().mean() < 1e-3

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("resnet19", "has no network 'resnet19'; did you mean 'timm/resnet1"),
            ("hf-hub:someone/net", "has no network 'hf-hub:someone/net'"),
            ("hf_hub:timm/resnet18", "has no network"),
            ("local-dir:.", "has no network"),
            ("resnet50.nobody", "has no network"),
            ("", "has no network ''"),
            ("../resnet18", "has no network"),
        ],
    )
    def test_only_names_of_its_list_are_known(self, name: str, message: str) -> None:
        with pytest.raises(ArchitectureError, match=message):
            registry.architecture(f"timm/{name}")

    @pytest.mark.parametrize(
        "argument",
        ["pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"],
    )
    def test_arguments_that_fetch_are_refused(self, argument: str) -> None:
        with pytest.raises(ArchitectureError, match="its weights come from the file"):
            registry.architecture("timm/resnet10t").build(3, **{argument: "x"})


def test_without_timm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InstallationError, match=r"timm/resnet10t needs timm.*fanlight\[timm\]"):
        registry.architecture("timm/resnet10t")
