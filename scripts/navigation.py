"""A hook of mkdocs: the site's navigation is the list in docs/README.md, said once."""

import re
from pathlib import Path
from typing import Any

_SECTION = re.compile(r"^\*\*(.+?)\*\*")
_PAGE = re.compile(r"^- \[(.+?)\]\((.+?)\)")


def on_config(config: Any) -> None:
    index = Path(config["docs_dir"], "README.md")
    config["nav"] = navigation(index.read_text("utf-8"))


def navigation(text: str) -> list[Any]:
    """Each bold word with the links that follow it, and the links after them all."""
    sections: dict[str, list[dict[str, str]]] = {}
    pages: list[dict[str, str]] = []
    for line in text.splitlines():
        if section := _SECTION.match(line):
            pages = sections.setdefault(section[1], [])
        elif page := _PAGE.match(line):
            pages.append({page[1]: page[2]})
    return ["README.md", *({name: pages} for name, pages in sections.items())]
