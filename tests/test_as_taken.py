"""`python -m benchmarks as_taken`: scenes give files that decode, the same for the same seed."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator

from benchmarks.as_taken import crosses, held_out, tuning
from benchmarks.as_taken.__main__ import scenes, subject_of
from models.preprocessing import decode
from tests.models.images.framing.pictures import seven

pytestmark = pytest.mark.slow
IMAGE = np.asarray(seven())
FAMILIES = {"tuning": tuning, "held_out": held_out}
CROSSES = {"tuning": crosses.TUNING, "held_out": crosses.HELD_OUT}


def check(draw: Callable[[Generator], bytes]) -> None:
    first = draw(np.random.default_rng(3))
    picture = np.asarray(decode(first))
    assert min(picture.shape[:2]) >= 28
    assert first == draw(np.random.default_rng(3))


@pytest.mark.parametrize("family", FAMILIES)
def test_scenes_of_images(family: str) -> None:
    module = FAMILIES[family]
    for scene in (module.FAMILY.digits | module.FAMILY.clothes).values():
        check(lambda rng, scene=scene: scene(IMAGE, rng))  # type: ignore[misc]


@pytest.mark.parametrize("family", CROSSES)
def test_scenes_of_crosses(family: str) -> None:
    for scene in CROSSES[family].values():
        for target in (0, 1):
            check(lambda rng, scene=scene, target=target: scene(target, rng))  # type: ignore[misc]


def test_the_families_have_the_same_scenes() -> None:
    for subject in ("digits", "clothes", "crosses"):
        assert scenes(subject, "tuning") == scenes(subject, "held_out")


def test_the_labels_tell_what_to_redraw() -> None:
    assert subject_of(("circles", "crosses")) == "crosses"
    assert subject_of(tuple("0123456789")) == "digits"
    assert subject_of(("Trouser", "Bag")) == "clothes"
