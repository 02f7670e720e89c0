"""Which stages must be built anew after a change: stage → the key of all that went into it.

A key covers the steps of a stage, the files that they read, the build arguments that they declare
and the keys of the stages that they stand on or take from. Two builds with equal keys give the
same layers. Docker's cache goes by the same things, step by step.
"""

import hashlib
from collections.abc import Mapping

from deploy.container.context import Context
from deploy.container.dockerfile import Dockerfile, Stage, Step, expanded


def keys(dockerfile: Dockerfile, context: Context, given: Mapping[str, str]) -> dict[str, str]:
    """Return stage → key, in hexadecimal digits. `given` are build arguments."""
    found: dict[str, str] = {}
    for stage in dockerfile.stages.values():
        parts = [found.get(stage.base, stage.base)]
        for step in stage.steps:
            parts += [step.name, step.text, *_taken(step, context, found)]
            if step.name == "ARG":
                parts.append(argument(step.text, dockerfile, given)[1])
        found[stage.name] = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return found


def _taken(step: Step, context: Context, found: Mapping[str, str]) -> list[str]:
    """What a step takes from the context and from other stages, as hashes."""
    sources = [(each.stage, each.source) for each in step.mounts]
    if step.name == "COPY":
        sources += [(step.stage, path) for path in step.paths]
    parts = []
    for stage, path in sources:
        if stage is not None:
            parts.append(found[stage])
            continue
        for name in context.files(path):
            contents = (context.folder / name).read_bytes()
            parts += [name, hashlib.sha256(contents).hexdigest()]
    return parts


def argument(text: str, dockerfile: Dockerfile, given: Mapping[str, str]) -> tuple[str, str]:
    """Return name and value of an ARG of a stage: given, its default, or that before any FROM."""
    name, _, default = text.partition("=")
    value = given.get(name, default or dockerfile.arguments.get(name, ""))
    return name, expanded(value, dockerfile.arguments)


def depends_on(dockerfile: Dockerfile, stage: Stage) -> list[Stage]:
    """The stages that a stage stands on, nearest first, itself left out."""
    found = []
    while stage.base in dockerfile.stages:
        stage = dockerfile.stages[stage.base]
        found.append(stage)
    return found
