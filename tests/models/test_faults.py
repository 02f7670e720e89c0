"""What pydantic found wrong, in plain words: no error speaks of inputs, parsing or value errors."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from models import faults


class Inner(BaseModel):
    width: int = 1


class Example(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: Annotated[int, Field(ge=1, lt=10)] = 1
    share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    is_on: bool = True
    word: Literal["occlusion", "saliency"] = "saliency"
    name: str = "name"
    names: list[str] = []
    inner: Inner = Inner()
    odd: int = 1

    @field_validator("odd")
    @classmethod
    def _is_odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("it must be odd")
        return value


def fault(**values: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Example.model_validate(values)
    return caught.value


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"count": "many"}, "should be a whole number, not 'many'"),
        ({"count": 1.5}, "should be a whole number, not 1.5"),
        ({"count": None}, "should be a whole number"),
        ({"count": 0}, "should be at least 1, not 0"),
        ({"count": 10}, "should be less than 10, not 10"),
        ({"count": "9" * 5_000}, f"has too many digits, not '{'9' * 59}…"),
        ({"share": "half"}, "should be a number, not 'half'"),
        ({"share": 0}, "should be more than 0, not 0"),
        ({"share": 1.5}, "should be at most 1, not 1.5"),
        ({"share": "nan"}, "should be a finite number, not 'nan'"),
        ({"is_on": "maybe"}, "should be true or false, not 'maybe'"),
        ({"name": 3}, "should be text, not 3"),
        ({"names": "one"}, "should be a list, not 'one'"),
        ({"inner": 3}, "should be a mapping, not 3"),
        (
            {"word": "oclusion"},
            "should be 'occlusion' or 'saliency', not 'oclusion'; did you mean 'occlusion'?",
        ),
        ({"word": "\x1b[2J"}, r"should be 'occlusion' or 'saliency', not '\x1b[2J'"),
        ({"odd": 2}, "it must be odd"),
        ({"more": 1}, "is not known"),
    ],
)
def test_a_fault_with_its_value(values: dict[str, Any], text: str) -> None:
    assert faults.with_value(fault(**values).errors()[0]) == text


def test_a_limit_is_shown_with_its_unit() -> None:
    [found] = fault(count=0).errors()
    assert faults.limit(found, lambda value: f"{value:g} B") == "should be at least 1 B"
    [found] = fault(count="many").errors()
    assert faults.limit(found) is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.0, "1"), (0.1234567891, "0.1234567891"), (100_000_007, "100000007"), (1e30, "1e+30")],
)
def test_no_digit_of_a_limit_is_lost(value: float, shown: str) -> None:
    assert faults.number(value) == shown


def test_the_first_fault_of_several() -> None:
    assert faults.first(fault(count=0, odd=2)) == "should be at least 1"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"inner": {"width": "x"}}', "inner.width: should be a whole number"),
        ("{", "the file: is no valid JSON: EOF while parsing an object at line 1 column 1"),
        ('{"count":\n 1,}', "the file: is no valid JSON: trailing comma at line 2 column 4"),
        ("[]", "the file: should be a mapping"),
        ('{"\\u202e": 1}', r"\u202e: is not known"),
    ],
)
def test_a_fault_in_a_file_names_its_place(text: str, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Example.model_validate_json(text)
    assert faults.in_file(caught.value) == told
