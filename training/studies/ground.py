"""The study of white and black grounds: networks that saw clothes on one of them alone, or on both.

FashionMNIST shows light clothes on black; its inverse shows dark clothes on white. On a white
ground without inversion the clothes keep their own brightness, as in the photographs of a shop.
"""

from dataclasses import replace

from training.studies.figures import learned, on
from training.studies.lenet import LENET_RECIPE
from training.studies.perceptrons import FAILS, SINCE
from training.studies.study import Finding, Study, Variant

_BLACK, _WHITE = "fashion-mnist", "fashion-mnist-inverted"
_GROUND = "fashion-mnist-on-white"
_GUARDED = f"new, a study of its own; that both learned {SINCE}: after the runs of seed 0"


def _trained_on(label: str, dataset: str, other: str = _WHITE) -> Variant:
    recipe = replace(LENET_RECIPE, dataset=dataset, epochs=5)
    return Variant(label, recipe, also_test=(_BLACK, other))


GROUND = (
    Study(
        "ground",
        "Does a network know clothes on the other ground, or inverted? (LeNet-5)",
        (
            _trained_on("on black", _BLACK),
            _trained_on("on white", _WHITE),
            _trained_on("on both", f"{_BLACK} + {_WHITE}"),
        ),
        (
            Finding(
                "trained on black, it fails on white, and the other way round",
                learned("on black", "on white")
                & (on("on black", _WHITE) <= FAILS)
                & (on("on white", _BLACK) <= FAILS),
                _GUARDED,
            ),
            Finding(
                "trained on both, it knows both, within 0.02 of a network for one",
                learned("on black", "on white")
                & (on("on black", _BLACK) - on("on both", _BLACK) <= 0.02)
                & (on("on white", _WHITE) - on("on both", _WHITE) <= 0.02),
                _GUARDED,
            ),
        ),
        setup="The runs of seeds 0 and 1 on black were made a second time, for the study of the "
        "white ground, and stand in place of the first, which had reached 0.8728 and 0.8806 "
        "(test).",
    ),
    Study(
        "white-ground",
        "Does a network know the same clothes on a white ground, without inversion? (LeNet-5)",
        (
            _trained_on("on black", _BLACK, _GROUND),
            _trained_on("on white", _GROUND, _GROUND),
            _trained_on("on both", f"{_BLACK} + {_GROUND}", _GROUND),
        ),
        (
            Finding(
                "trained on black, it fails on a white ground, and the other way round",
                learned("on black", "on white")
                & (on("on black", _GROUND) <= FAILS)
                & (on("on white", _BLACK) <= FAILS),
                "new, a study of its own",
            ),
            Finding(
                "on white light clothes fade into the ground: it knows fewer than on black",
                learned("on black", "on white")
                & (on("on white", _GROUND) < on("on black", _BLACK)),
                "new, a study of its own",
            ),
            Finding(
                "trained on both, it knows both, within 0.02 of a network for one",
                learned("on black", "on white")
                & (on("on black", _BLACK) - on("on both", _BLACK) <= 0.02)
                & (on("on white", _GROUND) - on("on both", _GROUND) <= 0.02),
                "new, a study of its own",
            ),
        ),
    ),
)
