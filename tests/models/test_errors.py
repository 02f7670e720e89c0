"""What a user can mend is told in a line; what is a fault of Fanlight keeps its traceback."""

import importlib
import pickle
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

from models import errors
from models.errors import DamagedFileError, FanlightError, OptionError, damaged, message
from service.errors import ImageFault, NotFoundError

PACKAGES = ["models", "training", "service"]
INTERNAL = {  # are caught where they are raised
    "AbandonedError",
    "EndedError",
    "NotFiniteError",
    "RemoteWarning",  # is printed, not raised
    "ReportedElsewhereError",
    "UnanswerableGroupError",
    "_NotRecordedError",
    "_RefusedError",
    "_UnusualError",
}


def modules() -> list[ModuleType]:
    return [
        importlib.import_module(module.name)
        for package in map(importlib.import_module, PACKAGES)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.name.endswith("__main__")
    ]


@pytest.mark.parametrize("error", [FanlightError, OptionError, DamagedFileError, NotFoundError])
def test_an_error_of_the_family_is_told(error: type[FanlightError]) -> None:
    assert message(error("what to do")) == "what to do"


def test_an_error_of_the_file_system_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent") as raised:
        (tmp_path / "absent").read_bytes()
    assert message(raised.value) == f"{tmp_path / 'absent'}: No such file or directory"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no 'https://a/b.png?sig=x': give", "no 'https://a/b.png?…': give"),
        ("https://a/b?x=1&y=s, s3://me:x@b/c; no", "https://a/b?…, s3://…@b/c; no"),
        ("(zip://a.png::https://me@a/b.zip?s=x)", "(zip://a.png::https://…@a/b.zip?…)"),
        ("no folder data/https:/me:x@h/x.zip?s=y", "no folder data/https:/…@h/x.zip?…"),
        ("nothing matches 'C:/a?.png'", "nothing matches 'C:/a?.png'"),
        ("nothing matches 'a?.png' or a@b", "nothing matches 'a?.png' or a@b"),
        ("see https://a/@b/c", "see https://a/@b/c"),
    ],
)
def test_secrets_in_urls_are_not_told(text: str, shown: str) -> None:
    assert message(FanlightError(text)) == shown


@pytest.mark.parametrize(
    "error",
    [
        *(ValueError("x"), KeyError("x"), TypeError("x"), RuntimeError("x")),
        *(OSError("no path"), OSError(32, "Broken pipe")),
    ],
    ids=repr,
)
def test_any_other_error_is_a_bug(error: Exception) -> None:
    assert message(error) is None


def test_a_damaged_file_is_named_with_its_line() -> None:
    assert str(damaged(Path("a/b.csv"), "is cut off")) == "a/b.csv is cut off"
    assert str(damaged(Path("a/b.csv"), "is cut off", line=3)) == "a/b.csv line 3 is cut off"


def test_every_exception_of_the_code_is_of_the_family() -> None:
    own = {
        value
        for module in modules()
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Exception)
        and value.__module__ == module.__name__
    }
    assert errors.FanlightError in own
    outside = {error.__name__ for error in own if not issubclass(error, FanlightError)}
    assert outside == INTERNAL


@pytest.mark.parametrize(
    "error",
    [
        damaged(Path("a"), "b", line=1),
        NotFoundError("x", [ImageFault(0, "", "y")]),
        OptionError("z"),
    ],
    ids=repr,
)
def test_an_error_crosses_to_another_process(error: FanlightError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
