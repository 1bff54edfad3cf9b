"""Rendering a template within a request, and the events around that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skitai.saddle.outgoing.templates import Templates


def render_template(
    was: Any,
    templates: Templates,
    name: str,
    dicts: Sequence[Mapping[str, Any]],
    named: Mapping[str, Any],
) -> str:
    """Return the text of a template with ``was`` and the variables, given as one dict or by name.

    Calls ``got_template`` and ``template_rendered`` of the app and of the parts around the view. Raises
    AssertionError for both a dict and names, and the errors of jinja2.
    """
    if len(dicts) > 1 or (dicts and named):
        raise AssertionError(f"render({name!r}) takes one dictionary or keywords, not both")
    variables = {"was": was, **(dicts[0] if dicts else named)}
    for scope in was.scopes:
        if "got_template" in scope.handlers:
            scope.handlers["got_template"](was, name, variables)
    text = templates.render(name, variables)
    for scope in reversed(was.scopes):
        if "template_rendered" in scope.handlers:
            scope.handlers["template_rendered"](was, name, variables, text)
    return text
