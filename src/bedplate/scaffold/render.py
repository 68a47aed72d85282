"""Renders the templates: the files in `templates/` whose names end in `.jinja`."""

import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

LINE = 88
_SUFFIX = ".jinja"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bedplate.scaffold"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701, the output is Python, and every value was checked
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["wrapped"] = _wrapped
    return environment


def _wrapped(names: Sequence[str], indent: int) -> str:
    """Wrap names to lines of at most 88 characters, all but the first indented."""
    lines = textwrap.wrap(", ".join(names), LINE - indent)
    return f"\n{' ' * indent}".join(lines)


def render_folder(folder: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Render every template of a folder, and return the texts by path.

    Variables such as `{{ package }}` are replaced in paths as well as in texts.
    """
    environment = _environment()
    rendered: dict[str, str] = {}
    for template in environment.list_templates(extensions=["jinja"]):
        if template.startswith(f"{folder}/"):
            path = template.removeprefix(f"{folder}/").removesuffix(_SUFFIX)
            text = environment.get_template(template).render(values)
            rendered[environment.from_string(path).render(values)] = text
    return rendered
