"""`python -m benchmarks.wheels`: the packages that a machine with a GPU and torch lacks, pinned.

For `benchmarks/gpu.sh`: the packages that service, training and the GPU tests need, in the versions
that are installed here. Packages that torch and torchvision need, and packages for a CPU only, are
left out.
"""

import sys
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
PROVIDED = ("torch", "torchvision")  # with all that they need
ONLY_ON_A_CPU = ("onnx", "onnxruntime")  # on a GPU predictions run as CUDA graphs
FOR_TESTS = ("pytest", "pytest-timeout", "hypothesis", "httpx2", "python-multipart")


def needed(python: str) -> list[str]:
    """The packages as `name==version`, sorted, for a machine with that version of Python."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    extras = project["optional-dependencies"]
    stated = [*project["dependencies"], *extras["service"], *extras["training"]]
    stated += [each for each in extras["test"] if Requirement(each).name in FOR_TESTS]
    there = _closure(PROVIDED, set(), python)
    missing = _closure(stated, there | set(ONLY_ON_A_CPU), python)
    missing.discard(project["name"])  # an extra may name another extra of this project
    return [f"{name}=={version(name)}" for name in sorted(missing)]


def _closure(stated: tuple[str, ...] | list[str], without: set[str], python: str) -> set[str]:
    """The names of these packages and of all that they need, except of those `without`."""
    found: dict[str, set[str]] = {}  # name → its extras
    waiting = [Requirement(each) for each in stated]
    while waiting:
        requirement = waiting.pop()
        name: str = canonicalize_name(requirement.name)
        extras = {"", *requirement.extras}
        if name in without or name.startswith("nvidia") or extras <= found.get(name, set()):
            continue
        found[name] = found.get(name, set()) | extras
        environments = [{"python_version": python, "extra": extra} for extra in extras]
        try:
            needs = [Requirement(each) for each in requires(name) or ()]
        except ModuleNotFoundError:  # of a build of torch that is not installed here
            del found[name]
            continue
        waiting += [
            each
            for each in needs
            if each.marker is None or any(map(each.marker.evaluate, environments))
        ]
    return set(found)


if __name__ == "__main__":
    print("\n".join(needed(sys.argv[1])))
