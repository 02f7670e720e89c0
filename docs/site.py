"""A hook of mkdocs: links to files that are not pages of the site become the files' names."""

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+[^)]*\)|\[([^\]]+)\]\([\w-]+\.json\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page's text, whose links lead to other pages alone."""
    return _OUTSIDE.sub(lambda found: found[1] or found[2], markdown)
