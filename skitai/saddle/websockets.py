"""The handshake of a websocket, and the call of its view."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from skitai.context import current_view, get_current
from skitai.saddle.errors import HTTPError
from skitai.saddle.routes.sockets import PARAMETER, WebSocketOptions
from skitai.websocket.init import WebSocketInit

if TYPE_CHECKING:
    from skitai.saddle.was import SaddleWas

#: WEBSOCKET_DEDICATE: the view owns its websocket.
_DEDICATE = 2


def is_handshake(env: Mapping[str, Any]) -> bool:
    """Return whether the server asks the app how it will handle a websocket."""
    return "websocket_init" in env


def no_handshake() -> HTTPError:
    """Return the answer to a plain request for a path that takes websockets alone."""
    return HTTPError(HTTPStatus.BAD_REQUEST, "This address takes websockets only.")


def with_websocket(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a view with a place for the websocket, which no client can fill."""
    return {**arguments, PARAMETER: None}


def open_later(
    was: SaddleWas, view: Callable[..., Any], arguments: dict[str, Any], options: WebSocketOptions
) -> str:
    """Have the server call ``view`` with the websocket, when the app has answered; return an empty body.

    The view is given the ``was`` of the handshake, with what the events of the request have put there.
    """

    def begin(ws: Any) -> dict[str, Any]:
        was.go_on(get_current())
        current_view.set(was)
        return {**arguments, PARAMETER: ws}

    async def serve_coroutine(ws: Any) -> None:
        await view(was, **begin(ws))

    def serve(ws: Any) -> None:
        view(was, **begin(ws))

    was.env["websocket_init"] = WebSocketInit(
        _DEDICATE,
        options.keep_alive,
        subprotocols=options.subprotocols,
        serve=serve_coroutine if inspect.iscoroutinefunction(inspect.unwrap(view)) else serve,
    )
    return ""
