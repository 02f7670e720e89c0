"""Class map: which class the network sees where, in an image of any size.

The network in its fully convolutional form slides over the whole image (`models.convolutional`).
One without such a form, as a transformer, runs on each window alone.
Sermanet et al. 2014 (OverFeat), https://arxiv.org/abs/1312.6229; Long, Shelhamer and Darrell 2015,
https://arxiv.org/abs/1411.4038.
"""

from typing import Annotated

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from models.convolutional import class_map, picture
from models.errors import OptionError
from models.preprocessing import InputSpec
from models.structure.reading import Structure
from service.errors import InvalidInputError
from service.inference.engine import NOT_FINITE, NotFiniteError
from service.inference.explain_methods.method import (
    METHODS,
    Attribution,
    ExplainMethod,
    Parameters,
    Subject,
)


class ClassMapParameters(Parameters):
    step: Annotated[int, Field(ge=1, le=4096)] | SkipJsonSchema[None] = Field(
        None,
        description="pixels of the image between two places of the map; what of it divides the "
        "stride of the network is taken; default: an eighth of the input, or more where that "
        "would take seconds",
    )


class ClassMap(ExplainMethod[ClassMapParameters]):
    name = "class-map"
    title = "Class map"
    description = (
        "Which class the network sees where in the whole image, in its own size: the probability "
        "of the target around each pixel, 0 to 1, as the network finds it when it is slid over "
        "the whole image."
    )
    model = ClassMapParameters
    needs_gradients = False

    def missing(self, structure: Structure) -> str | None:
        if structure.form is not None:
            return None
        return structure.lacks or "a fully convolutional form"

    def notes(self, parameters: ClassMapParameters, structure: Structure) -> list[str]:
        return structure.windowed

    def longest(self, spec: InputSpec) -> int:
        return picture.longest(spec)

    def attribute(self, subject: Subject, parameters: ClassMapParameters) -> Attribution:
        assert subject.whole is not None  # noqa: S101 (`explain` gives it)
        (image, sent), spec, form, device, probabilities, check, look = subject.whole
        assert form is not None  # noqa: S101 (`missing` has looked)
        try:
            found = class_map.class_map(
                form,
                image,
                spec,
                probabilities,
                device=device,
                step=parameters.step,
                sent=sent,
                second_look=look,
                check=check,
            )
        except OptionError as error:
            raise InvalidInputError(str(error)) from error
        if not found.probabilities.isfinite().all():
            raise NotFiniteError(NOT_FINITE)
        return Attribution(found.heat(subject.target), class_map=found)


METHODS.register(ClassMap())
