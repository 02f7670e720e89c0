"""Arguments of an architecture are written NAME=JSON, and shown so in the help."""

import contextlib
from dataclasses import dataclass, field
from typing import Any

import click
import pytest

from fanlight import fields, parameters
from training.recipes.arguments import Arguments, parse


@dataclass(frozen=True)
class Command:
    arguments: Arguments = field(default_factory=lambda: {"hidden": [1000, 1000]})
    seed: int = 0


def run(*line: str) -> list[Command]:
    """The command that a command line tells, or nothing."""
    found: list[Command] = []

    @click.pass_context
    def keep(ctx: click.Context, /, **values: Any) -> None:
        found.append(Command(**fields.given(ctx)))

    program = parameters.Command("test", callback=keep, params=fields.parameters(Command))
    with contextlib.suppress(SystemExit):
        program.main(list(line))
    return found


def test_json_by_name() -> None:
    pairs = ("hidden=[1000,1000]", "batchnorm=true", "dropout=0.5", 'name="a=b"', "size=null")
    assert parse(pairs) == {
        "hidden": [1000, 1000],
        "batchnorm": True,
        "dropout": 0.5,
        "name": "a=b",
        "size": None,
    }
    assert parse(()) == {}


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (("dropout",), "'dropout' must be NAME=JSON"),
        (("=3",), "'=3' must be NAME=JSON"),
        (("n channel=3",), "'n channel=3' must be NAME=JSON"),
        (("hidden=[1,",), r"'hidden' must be JSON, not '\[1,'"),
        (("name=text",), "'name' must be JSON, not 'text'"),
        (("dropout=",), "'dropout' must be JSON, not ''"),
        (("dropout=NaN",), "'dropout' must be JSON, not 'NaN'"),
        (("dropout=-Infinity",), "'dropout' must be JSON, not '-Infinity'"),
        (("dropout=0", "dropout=0.5"), "'dropout' is given twice"),
    ],
)
def test_what_is_written_otherwise(
    pairs: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=message):
        parse(pairs)
    assert run("--arguments", *pairs) == []
    assert "NAME=JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "arguments", "seed"),
    [
        ([], {"hidden": [1000, 1000]}, 0),
        (["--arguments"], {}, 0),
        (["--arguments", "a=1", 'b="c d"', "--seed", "2"], {"a": 1, "b": "c d"}, 2),
    ],
)
def test_on_a_command_line(line: list[str], arguments: dict[str, Any], seed: int) -> None:
    (command,) = run(*line)
    assert (command.arguments, command.seed) == (arguments, seed)


def test_the_default_is_shown_as_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    run("--help")
    printed = " ".join(capsys.readouterr().out.split())
    assert "--arguments [NAME=JSON ...]" in printed
    assert "hidden=[1000,1000]" in printed
