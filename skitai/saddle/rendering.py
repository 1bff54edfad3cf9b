"""Templates with a request in them, and the events around that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skitai.saddle.templates import Templates


def rendered(
    was: Any,
    templates: Templates,
    name: str,
    dicts: Sequence[Mapping[str, Any]],
    named: Mapping[str, Any],
) -> str:
    """Return the text of a template that sees ``was`` and the variables, in one dict or by name.

    The app's ``got_template`` and ``template_rendered`` are told. Raises AssertionError for both a dict and
    names, and what jinja2 raises.
    """
    if len(dicts) > 1 or (dicts and named):
        raise AssertionError(f"render({name!r}) takes one dictionary or keywords, not both")
    variables = {"was": was, **(dicts[0] if dicts else named)}
    handlers = was.app.handlers
    if "got_template" in handlers:
        handlers["got_template"](was, name, variables)
    text = templates.render(name, variables)
    if "template_rendered" in handlers:
        handlers["template_rendered"](was, name, variables, text)
    return text
