"""A hook of mkdocs: a link to a file outside of the site is replaced with the text of the link."""

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+[^)]*\)|\[([^\]]+)\]\([\w-]+\.json\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page; returns its text without links out of the site."""
    return _OUTSIDE.sub(lambda found: found[1] or found[2], markdown)
