"""The templates that the apps of this directory share."""

from pathlib import Path

import jinja2

_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["ms"] = lambda seconds: f"{seconds * 1000:,.0f} ms"
_environment.filters["seconds"] = lambda seconds: f"{seconds:.2f} s"


def render(template, **values):
    """Return a page as text."""
    return _environment.get_template(template).render(values)
