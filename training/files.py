"""Files that appear whole: written beside their place, then renamed to it."""

import json
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """The same for JSON, legible to people."""
    write(path, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")


def write(path: Path, content: bytes) -> None:
    """Write or replace a file; a reader sees the old content or the new one."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(content)
    draft.replace(path)
