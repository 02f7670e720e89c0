"""The sizes of an application that are refused, and why."""

import pytest
from pydantic import ValidationError

from service.ray.scale import Scale


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"replicas": 0}, "replicas 0 needs max_replicas"),
        (
            {"replicas": 3, "max_replicas": 2},
            r"max_replicas \(2\) must not be below replicas \(3\)",
        ),
        ({"gpus": 1.5}, r"gpus \(1.5\) must be a whole number above 1"),
        ({"cpus": -1}, "greater than or equal to 0"),
        ({"cpus": float("nan")}, "finite number"),
        ({"replica": 2}, "Extra inputs are not permitted"),
        ({"replicas": "two"}, "valid integer"),
    ],
)
def test_is_refused(given: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        Scale.model_validate(given)


@pytest.mark.parametrize(
    "given", [{}, {"replicas": 0, "max_replicas": 1}, {"gpus": 0.25}, {"gpus": 2}, {"cpus": 0}]
)
def test_is_taken(given: dict[str, object]) -> None:
    assert Scale.model_validate(given).model_dump(exclude_unset=True) == given


def test_words_of_a_command_line_are_numbers() -> None:  # serve run deploy.ray:app replicas=2
    assert Scale.model_validate({"replicas": "2", "cpus": "0.5"}) == Scale(replicas=2, cpus=0.5)
