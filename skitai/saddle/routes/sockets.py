"""What makes a route one for websockets: ``@app.websocket("/path")``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import attrs

#: What stands for the method of a handshake in a rule, so that a page and a websocket may share a path.
HANDSHAKE = "WEBSOCKET"
#: The parameter of a view that is given the websocket.
PARAMETER = "ws"


@attrs.frozen
class WebSocketOptions:
    """What the decorator says of a websocket: see ``WebSocketInit``."""

    keep_alive: float | None
    subprotocols: tuple[str, ...]


def check_view(rule: str, view: Callable[..., Any]) -> None:
    """Raise TypeError for a view that cannot be given a websocket."""
    if not callable(view):
        raise TypeError(f"websocket {rule!r}: {view!r} is not a function")
    parameters = inspect.signature(view).parameters.values()
    takes_all = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    if not takes_all and PARAMETER not in [parameter.name for parameter in parameters]:
        name = getattr(view, "__name__", view)
        raise TypeError(f"websocket {rule!r}: {name}() needs a parameter {PARAMETER}: view(was, ws, ...)")
