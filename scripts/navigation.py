"""A hook of mkdocs that makes the site's navigation from the list in docs/README.md.

A link to another folder's README.md becomes a section with the pages of that list.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

_SECTION = re.compile(r"^\*\*(.+?)\*\*")
_PAGE = re.compile(r"^- \[(.+?)\]\((.+?)\)")


def on_config(config: Any) -> None:
    config["nav"] = navigation(Path(config["docs_dir"]), PurePosixPath("README.md"))


def navigation(docs: Path, index: PurePosixPath) -> list[Any]:
    """Return an index, then each bold word of it with the links that follow it."""
    sections: dict[str, list[dict[str, Any]]] = {}
    pages: list[dict[str, Any]] = []
    for line in (docs / index).read_text("utf-8").splitlines():
        if section := _SECTION.match(line):
            pages = sections.setdefault(section[1], [])
        elif page := _PAGE.match(line):
            pages.append({page[1]: _entry(docs, index.parent / page[2])})
    return [str(index), *({name: pages} for name, pages in sections.items())]


def _entry(docs: Path, target: PurePosixPath) -> Any:
    return navigation(docs, target) if target.name == "README.md" else str(target)
