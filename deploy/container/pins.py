"""Writes what each layer of the image installs: `python -m deploy.container.pins`.

`constraints.txt` pins all that Fanlight is tested with, linters too. A layer that read it would be
built anew for each change of any of these. So each layer has a file of its own with the pins that
it needs: the packages it names, what these need on Linux with the image's Python, and nothing else.
The versions are those of `constraints.txt`, which stays the one place to change them.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent
LAYERS: Mapping[str, tuple[str, ...]] = {
    "torch": ("torch", "torchvision"),
    "service": ("fanlight[service]",),
    "remote": ("s3fs", "aiohttp"),  # the extras s3 and http, without what the others have
    "build": ("hatchling",),
    "inventory": ("cyclonedx-bom",),
}
"""Layer, which is the name of its file → what it is installed for."""

OF_TORCH = re.compile(r"nvidia-|cuda-|triton$")
"""Packages of torch's CUDA build. Torch pins them itself, and its CPU build has none of them."""

HEAD = "# Written by: python -m deploy.container.pins\n"
PLATFORM = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.0",
    "python_version": "3.11",
    "sys_platform": "linux",
}


class UnpinnedError(Exception):
    """A layer needs a package that `constraints.txt` does not pin."""


def pins() -> dict[str, str]:
    """Return canonical name → the line of `constraints.txt`."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(line.partition("==")[0]): line for line in lines if "==" in line}


def contents(layer: str) -> str:
    """Return the text of a layer's file. Raises `UnpinnedError`."""
    pinned, found = pins(), set()
    for name in needed(LAYERS[layer]):
        if name in pinned:
            found.add(pinned[name])
        elif name != "fanlight" and not OF_TORCH.match(name):
            raise UnpinnedError(
                f"the image's layer {layer} installs {name}, which constraints.txt does not pin; "
                f"add the line {name}=={metadata.version(name)} there"
            )
    return HEAD + "".join(f"{line}\n" for line in sorted(found, key=str.lower))


def needed(requirements: Iterable[str]) -> set[str]:
    """Return the canonical names of all that these requirements install, themselves included.

    What a package needs is read from this environment, where it has to be installed.
    """
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(each), "") for each in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if not applies(requirement, extra):
            continue
        name = canonicalize_name(requirement.name)
        for each in ("", *requirement.extras):
            if (name, each) not in seen:
                seen.add((name, each))
                if not OF_TORCH.match(name):
                    waiting += [(found, each) for found in requirements_of(name)]
    return {name for name, _ in seen}


def applies(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return marker is None or marker.evaluate({**PLATFORM, "extra": extra})


def requirements_of(name: str) -> Iterator[Requirement]:
    """What a package asks for; markers say for which extra. Fanlight's are of `pyproject.toml`."""
    if name != "fanlight":
        yield from map(Requirement, metadata.requires(name) or ())
        return
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    yield from map(Requirement, project["dependencies"])
    for extra, requirements in project["optional-dependencies"].items():
        for each in requirements:
            yield Requirement(f"{each}; extra == '{extra}'")


def main() -> int:
    try:
        texts = {layer: contents(layer) for layer in LAYERS}
    except (UnpinnedError, metadata.PackageNotFoundError) as error:
        print(f"{error}; install the extra test, and run this again", file=sys.stderr)
        return 1
    for layer, text in texts.items():
        (FOLDER / f"{layer}.txt").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
