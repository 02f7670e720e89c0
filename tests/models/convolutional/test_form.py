"""A fully convolutional form says what its network says, and its map what the network says of each
crop."""

import pytest
import torch
from torch import Tensor, nn

from models import checkpoint
from models.architectures import registry
from models.checkpoint import names
from models.convolutional.errors import NotConvolutionalError
from models.convolutional.form import Form, form_of
from models.convolutional.stitching import places, stitched
from models.convolutional.windows import Windows
from models.preprocessing import InputSpec
from models.repository_paths import SHIPPED
from models.structure import reading
from tests.cases import one_in
from tests.hooks import hooks
from tests.models.convolutional import odd_networks
from tests.models.convolutional.odd_networks import SHAPE, UNPADDED, built
from tests.tutorial_networks import TUTORIALS, Tutorial

WITHOUT_CONVOLUTIONS = {"mlp"}
OURS = sorted(set(registry.ARCHITECTURES.names()) - WITHOUT_CONVOLUTIONS - {"tiny"})
OF_TORCHVISION = (
    *("resnet18", "densenet121", "alexnet", "mobilenet_v2", "mobilenet_v3_small", "googlenet"),
    *("convnext_tiny", "squeezenet1_1", "shufflenet_v2_x0_5", "efficientnet_b0", "regnet_y_400mf"),
)
CPU = torch.device("cpu")


def noise(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def check_own_size(network: nn.Module, image: Tensor) -> Form:
    """The form's only place is the network's answer; a larger image has further places."""
    form = form_of(network, image)
    with torch.inference_mode():
        expected = network(image)
    found = form(image)
    assert found.shape == (*expected.shape, 1, 1)
    torch.testing.assert_close(found[:, :, 0, 0], expected, atol=1e-5, rtol=1e-5)
    (height, width), (down, across) = form.window, form.stride
    larger = form(noise((1, image.shape[1], height + 2 * down, width + across)))
    assert larger.shape == (*expected.shape, 3, 2)
    assert larger.isfinite().all()
    return form


def build(name: str) -> tuple[nn.Module, InputSpec]:
    architecture = registry.architecture(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = architecture.build(5).eval()
    return network, architecture.input_for({})


@pytest.mark.parametrize("name", OURS)
def test_our_architectures(name: str) -> None:
    network, spec = build(name)
    check_own_size(network, noise((1, *spec.shape)))


@pytest.mark.parametrize("name", one_in(3, OF_TORCHVISION))
def test_networks_of_torchvision(name: str) -> None:
    network, spec = build(f"torchvision/{name}")
    check_own_size(network, noise((1, *spec.shape)))


@pytest.mark.parametrize("name", names(SHIPPED))
def test_shipped_models(name: str) -> None:
    loaded = checkpoint.load_named(SHIPPED, name, None, CPU)
    form = loaded.structure.form
    assert isinstance(form, Form)
    image = noise((1, *loaded.card.input.shape))
    with torch.inference_mode():
        expected = loaded.network(image)
    torch.testing.assert_close(form(image)[:, :, 0, 0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "tutorial",
    [each for each in TUTORIALS if not (each.is_flat or "perceptron" in each.name)],
    ids=lambda each: each.name,
)
def test_networks_of_tutorials(tutorial: Tutorial) -> None:
    network = tutorial.network().eval()
    check_own_size(network, noise((1, *tutorial.input)))


@pytest.mark.parametrize("kind", [*UNPADDED, odd_networks.Excites], ids=lambda kind: kind.__name__)
def test_odd_networks(kind: type[nn.Module]) -> None:
    network = built(kind)
    check_own_size(network, noise(SHAPE))
    assert not hooks(network)


def check_crops(network: nn.Module, image: Tensor, form: Form) -> None:
    """Every place of the map is the network's answer for the crop that begins there."""
    found = form(image)[0]
    (height, width), (down, across) = form.window, form.stride
    for row in range(found.shape[1]):
        for column in range(found.shape[2]):
            top, left = row * down, column * across
            with torch.inference_mode():
                [expected] = network(image[:, :, top : top + height, left : left + width])
            torch.testing.assert_close(found[:, row, column], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", UNPADDED, ids=lambda kind: kind.__name__)
def test_without_padding_each_place_is_the_answer_for_its_crop(kind: type[nn.Module]) -> None:
    network = built(kind)
    form = form_of(network, noise(SHAPE))
    check_crops(network, noise((1, 3, 16 + 3 * form.stride[0], 16 + 2 * form.stride[1]), 1), form)


@pytest.mark.parametrize("name", ["xo", "xo-three-convolutions"])
def test_so_do_drawings(name: str) -> None:
    network, _ = build(name)
    form = form_of(network, noise((1, 1, 116, 116)))
    check_crops(network, noise((1, 1, 116 + form.stride[0], 116 + 2 * form.stride[1]), 1), form)


@pytest.mark.parametrize(
    ("kind", "lacks"),
    [
        (odd_networks.Perceptron, "a convolution over parts of the image"),
        (odd_networks.Attends, r"a fully convolutional form \(.* does not slide over an image\)"),
        (odd_networks.KnowsPlaces, "add of 4 × 16 × 16 with weights of its own for each place"),
        (odd_networks.MixesImages, "mean of 5 × 14 × 14 does not slide"),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_what_stands_in_the_way_is_told(kind: type[nn.Module], lacks: str) -> None:
    network = built(kind)
    with pytest.raises(NotConvolutionalError, match=lacks) as raised:
        form_of(network, noise(SHAPE))
    structure = reading.read(network, noise(SHAPE))
    assert structure.lacks == str(raised.value)
    assert (structure.form is None) == (kind is odd_networks.Perceptron)


def test_a_network_that_fails_runs_window_by_window() -> None:
    network = built(odd_networks.TakesOneImage)
    structure = reading.read(network, noise(SHAPE))
    assert [layer.name for layer in structure.layers] == ["conv"]
    assert structure.lacks == "a forward pass that takes two images, and that can be followed"
    check_windows(network, noise((1, 3, 33, 48), 1), structure.form)


@pytest.mark.parametrize("kind", [odd_networks.Attends, odd_networks.KnowsPlaces])
def test_so_does_a_network_without_a_form(kind: type[nn.Module]) -> None:
    network = built(kind)
    check_windows(network, noise((1, 3, 33, 48), 1), reading.read(network, noise(SHAPE)).form)


def check_windows(network: nn.Module, image: Tensor, form: Form | Windows | None) -> None:
    """Each place is what the network says of its window alone, exactly; at any step."""
    assert isinstance(form, Windows)
    height, width = form.window
    for step in ((height, width), (height // 2, width // 4)):
        found = stitched(form, image, step)
        rows, columns = places(form, image.shape[2:], step)
        assert found.shape[1:] == (rows, columns)
        for row in range(rows):
            for column in range(columns):
                top, left = row * step[0], column * step[1]
                crop = image[:, :, top : top + height, left : left + width]
                with torch.inference_mode():
                    expected = network(crop.clone())[0]
                torch.testing.assert_close(found[:, row, column], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t"])
def test_transformers_have_none(name: str) -> None:
    network, spec = build(f"torchvision/{name}")
    with pytest.raises(NotConvolutionalError, match="does not slide over an image"):
        form_of(network, noise((1, *spec.shape)))


def test_a_window_over_everything_slides_by_one_pixel() -> None:
    """A pooling of 7×7 moves by 7 in the network, where it has one place; in its form by 1."""
    assert form_of(built(odd_networks.AllConvolutional), noise(SHAPE)).stride == (2, 2)


def test_work_ends_between_two_operators() -> None:
    form = form_of(built(odd_networks.Means), noise(SHAPE))
    calls = iter([None, None])

    class LeftError(Exception):
        pass

    def check() -> None:
        if next(calls, "over") == "over":
            raise LeftError

    with pytest.raises(LeftError):
        form(noise(SHAPE), check)


def test_costs_grow_with_the_image() -> None:
    """A convolution works at each place of its maps, a dense layer at each place of the output."""
    form = form_of(built(odd_networks.NormalisesFeatures), noise(SHAPE))
    conv, dense = 4 * 3 * 5 * 5, 144 * 8 + 8 * 8 + 8 * 5
    assert form.multiply_adds(16, 16) == conv * 6 * 6 + dense
    assert form.multiply_adds(18, 20) == conv * 7 * 8 + dense * 2 * 3
    assert form.largest(16, 16) == 4 * 6 * 6
    assert form.largest(18, 20) == 144 * 2 * 3  # windows as channels
