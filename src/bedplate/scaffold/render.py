"""Templates: real files beside this one, whose names end in `.jinja`."""

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
        autoescape=False,  # noqa: S701, it writes Python, and every value was checked
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["wrapped"] = _wrapped
    return environment


def _wrapped(names: Sequence[str], indent: int) -> str:
    """Names on lines that are short enough, all but the first indented."""
    lines = textwrap.wrap(", ".join(names), LINE - indent)
    return f"\n{' ' * indent}".join(lines)


def render_folder(folder: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Every template of a folder, by the path that it is written to.

    `{{ package }}` in a template's path stands for that value, as it does in its text.
    """
    environment = _environment()
    rendered: dict[str, str] = {}
    for template in environment.list_templates(extensions=["jinja"]):
        if template.startswith(f"{folder}/"):
            path = template.removeprefix(f"{folder}/").removesuffix(_SUFFIX)
            text = environment.get_template(template).render(values)
            rendered[environment.from_string(path).render(values)] = text
    return rendered
