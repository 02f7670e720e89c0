"""Files that appear whole: written beside their place, then renamed to it."""

from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write or replace a file; a reader sees the old content or the new one."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(content)
    draft.replace(path)
