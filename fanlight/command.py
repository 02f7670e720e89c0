"""The command `fanlight`: its subcommands by name, its error messages and exit codes.

A command's module is imported when the command is named, so that help, completion and `serve` do
not wait for torch.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from fanlight import packages
from fanlight.parameters import Example, Group, flag
from models.registry import nearest
from training import torchrun

PROGRAM = "fanlight"
USAGE = 2  # the exit code for what was asked in the wrong way


@dataclass(frozen=True)
class Entry:
    """A command before its module is imported. `extra` is the extra of pip that it needs."""

    help: str
    group: str
    extra: str
    module: str | None = None
    examples: tuple[Example, ...] = ()


_TRAIN, _LOOK, _SERVE = "Train", "Measure and look inside", "Serve"
_IMAGE = "tests/data/digits/7.png"
COMMANDS = {
    "serve": Entry("Serve models over HTTP.", _SERVE, "service"),
    "ray": Entry("Serve models on a Ray cluster.", _SERVE, "ray"),
    "key": Entry("Make an API key for the service.", _SERVE, "service"),
    "score": Entry("Predict a folder, a zip or a table of images.", _SERVE, "scoring"),
    "fit": Entry(
        "Train on a folder of pictures, or by a recipe, and publish a model.",
        _TRAIN,
        "training",
        "fit",
        (
            Example("fanlight fit my-pictures --name pets", "your own pictures, a folder a class"),
            Example("fanlight fit --list", "the recipes"),
            Example("fanlight fit mnist --epochs 3 --seed 1"),
            Example("fanlight fit mnist --resume", "goes on where a training was broken off"),
            Example("fanlight fit mnist --help", "the values of that recipe"),
        ),
    ),
    "import": Entry(
        "Publish weights or an ONNX graph that were made elsewhere.",
        _TRAIN,
        "training",
        "import_weights",
        (
            Example(
                "fanlight import weights.pt --architecture birdplane-batchnorm "
                "--labels airplane bird"
            ),
            Example("fanlight import net.onnx --labels cat dog", "from Keras, scikit-learn, …"),
        ),
    ),
    "export": Entry(
        "Write a model as a file for other programs.",
        _TRAIN,
        "training",
        "export",
        (
            Example("fanlight export mnist --format onnx --preprocessing -o mnist.onnx"),
            Example("fanlight export mnist --format safetensors"),
        ),
    ),
    "push": Entry(
        "Copy a model's version to a repository elsewhere.",
        _TRAIN,
        "training",
        "push",
        (Example("fanlight push mnist s3://bucket/models", "serve --repository takes that too"),),
    ),
    "study": Entry(
        "Run a study: a question, its trainings, a report.",
        _TRAIN,
        "training",
        "study",
        (
            Example("fanlight study dropout"),
            Example("fanlight study all --quick --jobs 2"),
            Example("fanlight study all --ray", "on a Ray cluster"),
        ),
    ),
    "results": Entry(
        "Write down what trainings and studies have reached.",
        _TRAIN,
        "training",
        "results",
        (Example("fanlight results --runs runs --docs docs"),),
    ),
    "look": Entry(
        "Look for copies, blank and unreadable pictures in a data set.",
        _LOOK,
        "training",
        "look",
        (
            Example("fanlight look my-pictures", "writes look/data.html"),
            Example("fanlight look birds-vs-planes --output birds"),
        ),
    ),
    "evaluate": Entry(
        "Accuracy, confusion matrix and figures by class of a model.",
        _LOOK,
        "training",
        "evaluate",
        (Example("fanlight evaluate mnist"), Example("fanlight evaluate pets --dataset holiday")),
    ),
    "calibrate": Entry(
        "Fit how sure a model may be, and what it does not know.",
        _LOOK,
        "training",
        "calibrate",
        (
            Example("fanlight calibrate pets --data holiday", "images that were not trained on"),
            Example("fanlight calibrate mnist --data mnist --split test"),
        ),
    ),
    "profile": Entry(
        "Parameters, arithmetic, memory and time of a network by layer.",
        _LOOK,
        "training",
        "profile",
        (
            Example("fanlight profile alexnet --batch-size 64"),
            Example("fanlight profile alexnet --plots pictures", "memory traffic, the roofline"),
            Example("fanlight profile mlp --arguments hidden=[1000,1000] batchnorm=true"),
        ),
    ),
    "visualize": Entry(
        "Draw data, curves, weights and features as PNG files.",
        _LOOK,
        "training",
        "visualize",
        (
            Example(f"fanlight visualize features mnist-cnn {_IMAGE} --layers penultimate"),
            Example("fanlight visualize kernels mnist --output drawings"),
            Example("fanlight visualize saturation birds-vs-planes-batchnorm --count 100"),
        ),
    ),
    "completion": Entry("Print the script for completion in a shell.", "Set up", "service"),
}
EXAMPLES = (
    Example("fanlight serve", "the models that Fanlight ships, at http://127.0.0.1:8000"),
    Example("fanlight fit my-pictures --name pets", "train on your own pictures"),
    Example('eval "$(fanlight completion bash)"', "complete commands with the tab key"),
)


class Root(Group):
    """The command `fanlight`. Imports a command of `COMMANDS` when the command line names it."""

    synonyms = MappingProxyType({"train": "fit", "run": "serve", "start": "serve"})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return _load(name) if name in COMMANDS else None

    def sections(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, entry in COMMANDS.items():
            groups.setdefault(entry.group, []).append((name, entry.help))
        return groups


def main(arguments: list[str] | None = None) -> int:
    """Run a command line, by default that of the process. Return the exit code.

    It is 0, or 1 after an error of a training command that the user can mend. It is 2 if the
    command line or a setting is wrong, and after any error of `serve` or `key` that the user can
    mend. It is 130 after an interrupt.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        result = root().main(words, PROGRAM, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return USAGE
    except click.NoSuchOption as error:
        if files := [word for word in words if word.startswith("-") and Path(word).exists()]:
            return _refuse_usage(
                f"{files[0]} is taken for an option: write ./{files[0]}", error, words
            )
        if error.option_name == "--version":
            return _refuse_usage(f"no option --version here: {PROGRAM} --version", error, words)
        near = nearest(error.option_name, error.possibilities or ())
        meant = f"; did you mean {near}?" if near else ""
        return _refuse_usage(f"no option {error.option_name}{meant}", error, words)
    except click.UsageError as error:
        return _refuse_usage(_reason(error), error, words)
    except click.ClickException as error:
        return _refuse(error.format_message())
    except click.Abort:
        click.echo("interrupted", err=True)
        return 130
    return result if isinstance(result, int) else 0


def root() -> Group:
    version = flag("--version", _version, "Show the version, and end.")
    text = "Train small image classifiers, serve them over HTTP, and look inside them."
    return Root(PROGRAM, help=text, params=[version], examples=EXAMPLES)


def _load(name: str) -> click.Command:
    entry = COMMANDS[name]
    try:
        if entry.module:
            command: Callable[..., click.Command] = import_module("fanlight.train").command
            return command(name, entry.module, entry.examples)
        return import_module(f"fanlight.{name}").command()  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in packages.NAMES:
            raise
        raise click.UsageError(
            f"{PROGRAM} {name} needs {error.name}, which is not installed; "
            f"pip install 'fanlight[{entry.extra}]'"
        ) from None


def _version(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value and not ctx.resilient_parsing:
        try:
            number = metadata.version("fanlight")
        except metadata.PackageNotFoundError:
            number = "0"
        click.echo(f"{PROGRAM} {number}")
        ctx.exit()


def _reason(error: click.UsageError) -> str:
    if isinstance(error, click.MissingParameter):
        return _missing(error)
    if not isinstance(error, click.BadParameter):
        return error.format_message()
    name = error.param.get_error_hint(error.ctx) if error.param and error.ctx else error.param_hint
    return ": ".join([*([str(name).replace("'", "")] if name else []), error.message])


def _missing(error: click.MissingParameter) -> str:
    """Return the error text for a missing argument, with an example line from the help, if any."""
    name = error.param.get_error_hint(error.ctx) if error.param and error.ctx else "a parameter"
    path = error.ctx.command_path if error.ctx else PROGRAM
    lines = [each.line for each in _examples(error.ctx) if each.line.startswith(f"{path} ")]
    shown = f"; for example: {lines[0]}" if lines else ""
    return str(name).replace("'", "") + f" is missing{shown}"


def _examples(ctx: click.Context | None) -> list[Example]:
    """Return the examples of a command, and of the groups that it is in."""
    if ctx is None:
        return []
    return [*getattr(ctx.command, "examples", ()), *_examples(ctx.parent)]


def _refuse_usage(reason: str, error: click.UsageError, words: Sequence[str]) -> int:
    path = error.ctx.command_path if error.ctx else PROGRAM
    if error.ctx is None and words and words[0] in COMMANDS:
        path = f"{PROGRAM} {words[0]}"
    return _refuse(f"{reason}\nSee {path} --help")


def _refuse(reason: str) -> int:
    if torchrun.is_first():
        click.echo(f"error: {reason}", err=True)
    return USAGE
