"""Reads a Dockerfile: text → stages → steps, with what each step takes from where.

It knows the instructions and flags that Fanlight's own Dockerfile uses. Any other is an error, so
that nothing in the file can be skipped unseen.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

PLAIN = {"ARG", "ENV", "WORKDIR", "USER", "EXPOSE", "LABEL", "CMD", "HEALTHCHECK"}
SCRATCH = "scratch"
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class DockerfileError(Exception):
    """The Dockerfile has something that the rehearsal does not know."""


class Mount(NamedTuple):
    """A folder or file that a RUN sees for as long as it runs."""

    stage: str | None  # None: the build context
    source: str
    target: str


@dataclass(frozen=True)
class Step:
    """One instruction. `text` is what follows its name, without flags and line breaks."""

    name: str
    text: str
    mounts: tuple[Mount, ...] = ()  # of RUN
    stage: str | None = None  # that COPY copies from; None: the build context

    @property
    def paths(self) -> list[str]:
        """The paths that a COPY copies; the last word of its text is where to."""
        return shlex.split(self.text)[:-1]


@dataclass(frozen=True)
class Stage:
    name: str
    base: str  # an earlier stage, an image, or `scratch`
    steps: list[Step] = field(default_factory=list)


@dataclass(frozen=True)
class Dockerfile:
    arguments: Mapping[str, str]  # those before the first FROM
    stages: Mapping[str, Stage]  # by name, in the order of the file


def parse(text: str, given: Mapping[str, str] | None = None) -> Dockerfile:
    """Read a Dockerfile; `given` are build arguments. Raises `DockerfileError`."""
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for name, rest in instructions(text):
        if name == "FROM":
            base, _, alias = expanded(rest, arguments).partition(" AS ")
            if not re.fullmatch(r"\w+", alias):
                raise DockerfileError(f"FROM {rest}: each stage needs a name: FROM image AS name")
            stage = stages[alias] = Stage(alias, base)
        elif stage is None:
            key, _, default = rest.partition("=")
            if name != "ARG":
                raise DockerfileError(f"{name} {rest}: only ARG may stand before the first FROM")
            arguments[key] = (given or {}).get(key, default)
        else:
            found = step(name, rest)
            for source in (found.stage, *(each.stage for each in found.mounts)):
                if source is not None and source not in stages:
                    raise DockerfileError(f"{name} {rest}: there is no stage {source} before it")
            stage.steps.append(found)
    if stage is None:
        raise DockerfileError("there is no FROM in the Dockerfile")
    steps = [each for one in stages.values() for each in one.steps if each.name == "ARG"]
    declared = {*arguments, *(each.text.partition("=")[0] for each in steps)}
    for key in given or {}:
        if key not in declared:
            raise DockerfileError(
                f"no build argument {key}; there are {', '.join(sorted(declared))}"
            )
    return Dockerfile(arguments, stages)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Name and text of each instruction, its continued lines joined by a space."""
    whole = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        whole = f"{whole} {line.strip()}".strip()
        if whole.endswith("\\"):
            whole = whole[:-1].rstrip()
        elif whole:
            name, _, rest = whole.partition(" ")
            yield name, rest.strip()
            whole = ""
    if whole:
        raise DockerfileError(f"the last line ends with a backslash: {whole}")


def step(name: str, text: str) -> Step:
    """One instruction of a stage."""
    if name in PLAIN:
        return Step(name, text)
    if name not in {"RUN", "COPY"}:
        known = ", ".join(sorted({"FROM", "RUN", "COPY", *PLAIN}))
        raise DockerfileError(f"{name} {text}: the rehearsal knows only {known}; teach it more")
    mounts: list[Mount] = []
    stage = None
    while text.startswith("--"):
        flag, _, text = text.partition(" ")
        text = text.strip()
        if name == "RUN" and flag.startswith("--mount=type=bind,"):
            mounts.append(mount(flag))
        elif name == "COPY" and flag.startswith("--from="):
            stage = flag.removeprefix("--from=")
        else:
            raise DockerfileError(f"{name} {flag}: the rehearsal does not know this flag")
    return Step(name, text, tuple(mounts), stage)


def mount(flag: str) -> Mount:
    parts = dict(each.split("=", 1) for each in flag.removeprefix("--mount=").split(","))
    if not {"type", "source", "target"} <= set(parts) <= {"type", "source", "target", "from"}:
        raise DockerfileError(f"{flag}: a mount has type, source, target, and may have from")
    return Mount(parts.get("from"), parts["source"], parts["target"])


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$NAME` and `${NAME}`; what is unknown becomes empty, as Docker has it."""
    return _VARIABLE.sub(lambda found: variables.get(found[1] or found[2], ""), text)


def assignments(text: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Read `NAME=value NAME="value"` of ENV or LABEL, with its variables replaced."""
    return dict(each.split("=", 1) for each in shlex.split(expanded(text, variables)))


def command(text: str) -> list[str]:
    """Read `["program", "argument"]`, the one form of CMD that is taken."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not (isinstance(found, list) and found and all(isinstance(each, str) for each in found)):
        raise DockerfileError(f'CMD {text}: write it as ["program", "argument"]')
    return found


def wanted(dockerfile: Dockerfile, target: str) -> list[Stage]:
    """Return the stages that a target needs, in the order of the file, the target last."""
    if target not in dockerfile.stages:
        raise DockerfileError(f"no stage {target}; there are {', '.join(dockerfile.stages)}")
    needed = {target}
    for stage in reversed([*dockerfile.stages.values()]):
        if stage.name in needed:
            needed.add(stage.base)
            sources = [each.stage for each in stage.steps]
            sources += [mount.stage for each in stage.steps for mount in each.mounts]
            needed.update(name for name in sources if name is not None)
    return [stage for stage in dockerfile.stages.values() if stage.name in needed]
