"""Hooks of mkdocs: a link to a file outside of the site is replaced with the text of the link, and
a Chinese page says that it is Chinese."""

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+[^)]*\)|\[([^\]]+)\]\([\w-]+\.json\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page; returns its text without links out of the site."""
    return _OUTSIDE.sub(lambda found: found[1] or found[2], markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Called by mkdocs for the HTML of each page; returns it with the page's own language."""
    is_chinese = page.file.src_uri.endswith(".zh-CN.md")
    return output.replace('<html lang="en"', '<html lang="zh-CN"', 1) if is_chinese else output
