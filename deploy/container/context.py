"""The build context: the files that a Dockerfile may take, without those of `.dockerignore`."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def matcher(pattern: str) -> re.Pattern[str]:
    """A pattern of `.dockerignore` as a regular expression; it also matches what lies below."""
    found = ""
    for part in re.findall(r"\*\*/?|\*|\?|[^*?]+", pattern.strip("/")):
        match part:
            case "**/":
                found += "(?:.*/)?"
            case "**":
                found += ".*"
            case "*":
                found += "[^/]*"
            case "?":
                found += "[^/]"
            case _:
                found += re.escape(part)
    return re.compile(f"{found}(?:/.*)?")


class Context:
    """The files of a folder, relative to it, with `/` between the names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        rules = folder / ".dockerignore"
        lines = rules.read_text().splitlines() if rules.is_file() else []
        for line in map(str.strip, lines):
            if line and not line.startswith("#"):
                self._rules.append((not line.startswith("!"), matcher(line.removeprefix("!"))))

    def takes(self, path: str) -> bool:
        """Whether Docker sends this file; of the rules that match, the last decides."""
        is_ignored = False
        for ignores, pattern in self._rules:
            if pattern.fullmatch(path):
                is_ignored = ignores
        return not is_ignored

    def files(self, path: str) -> Iterator[str]:
        """The files at or below a path, in order. Raises FileNotFoundError if there are none."""
        source = self.folder / path
        every = [source] if source.is_file() else sorted(source.rglob("*"))
        names = (each.relative_to(self.folder).as_posix() for each in every if each.is_file())
        found = [name for name in names if self.takes(name)]
        if not found:
            raise FileNotFoundError(
                f"{path} is not in the build context: it must exist, and .dockerignore must let "
                "it through"
            )
        return iter(found)

    def copy(self, paths: list[str], target: Path) -> None:
        """Copy as COPY does: a folder's contents, or files, into `target`."""
        for path in paths:
            for name in self.files(path):
                below = (self.folder / path).is_dir()
                inside = PurePosixPath(name).relative_to(path) if below else Path(name).name
                place = target / inside
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.folder / name, place)
