"""The commands of README and the docs, as far as they can be checked without running them."""

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import click
import pytest

from docs import tables
from fanlight import command
from service.app import create_app
from service.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CHINESE = (ROOT / "README.zh-CN.md").read_text()
PAGES = [ROOT / "README.zh-CN.md", ROOT / "CONTRIBUTING.md", *tables.pages()]
CHINESE_PAGES = [each for each in PAGES if each.name.endswith(".zh-CN.md")]
GENERATED = {"command.md"}  # its text is help, not what a shell runs
WORD = re.compile(r"\A[A-Z]{2,}\Z|…|\.\.\.")  # stands for something of the reader's


def blocks(page: Path) -> Iterator[str]:
    """The shell's lines in code blocks; what goes on behind a backslash is one line."""
    for block in re.findall(r"```(?:sh|bash)\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        yield from re.sub(r"\\\n\s*", " ", block).splitlines()


def commands(program: str) -> list[tuple[str, str]]:
    """Page and command line of each call of a program."""
    found = []
    for page in PAGES:
        if page.name in GENERATED:
            continue
        for line in blocks(page):
            plain = re.sub(r"\s+#.*", "", line)
            for part in re.split(r"\s(?:&&|\|)\s|;\s", plain):
                words = part.removeprefix("sudo ").strip()
                words = re.sub(r"\A(?:[A-Z_]+=\S+\s+)*", "", words)
                if re.match(rf"(?:\S*/)?{program}\s", words):
                    found.append((page.name, words))
    return found


def test_one_command_starts_the_service_and_one_passes_the_tests() -> None:
    for text in (README, CHINESE):
        found = re.findall(r"^python3 -m venv \.venv && .*$", text, re.MULTILINE)
        assert [each.split()[-1] for each in found] == ["serve", ".venv/bin/pytest"]


@pytest.mark.parametrize("page", CHINESE_PAGES, ids=lambda page: page.name)
def test_chinese_has_its_own_punctuation_and_ends_its_links(page: Path) -> None:
    han, text = r"[\u4e00-\u9fff]", page.read_text("utf-8")
    assert re.findall(rf"{han}[,:;?!].*|[,:;?!]{han}.*", text) == []
    assert re.findall(r"https?://[^\s<>)`]*[^\x00-\x7f].*", text) == []  # all that is the link


def test_it_is_a_screen_and_a_half() -> None:
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_samples_that_a_page_sends_are_there(page: Path) -> None:
    for sample in re.findall(r"(tests/data/[\w./-]*\.\w+)", page.read_text("utf-8")):
        assert (ROOT / sample).is_file(), sample


@pytest.mark.parametrize(("page", "line"), commands("fanlight"))
def test_a_command_has_these_options(page: str, line: str) -> None:
    words = shlex.split(line)[1:]
    found: click.Command = command.root()
    context = click.Context(found, info_name="fanlight")
    while isinstance(found, click.Group):
        name = words.pop(0)
        if name.startswith("-"):
            return
        inner = found.get_command(context, name)
        assert inner is not None, f"{page}: {line}"
        found, context = inner, click.Context(inner, context, info_name=name)
    with suppress(click.exceptions.Exit):  # --list and --help end here
        found.make_context(found.name, list(words), context.parent)


def test_an_option_that_is_none_is_found() -> None:
    for line in ("fanlight serve --no-such-option x", "fanlight fit mnist --epochz 3"):
        with pytest.raises(click.NoSuchOption):
            test_a_command_has_these_options("a page", line)


@cache
def operations() -> dict[str, set[str]]:
    """Paths of the API as patterns, with the query parameters of all methods."""
    document = create_app(Settings.model_construct()).openapi()
    found = {}
    for path, methods in document["paths"].items():
        asked = {
            each["name"]
            for method in methods.values()
            for each in method.get("parameters", ())
            if each["in"] == "query"
        }
        pattern = re.escape(path.replace("{model}", "MODEL").replace("{layer}", "LAYER"))
        found[pattern.replace("MODEL", "[^/]+").replace("LAYER", ".+")] = asked
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("page", "line"), commands("curl"))
def test_an_address_is_one_of_the_api(page: str, line: str) -> None:
    for url in re.findall(r"http://127\.0\.0\.1:\d+[^\s'\"]*", line):
        parts = urlsplit(url)
        if not parts.path.startswith("/v1/") or ":predict" in parts.path:
            continue
        fitting = [each for path, each in operations().items() if re.fullmatch(path, parts.path)]
        assert fitting, f"{page}: {url}"
        known = set().union(*fitting)
        assert {name for name, _ in parse_qsl(parts.query)} <= known, f"{page}: {url}"
