"""What an app says at the handshake: ``environ["websocket_init"]``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs


@attrs.frozen
class WebSocketInit:
    """How the app will handle a websocket. Apps write the tuple ``(design, keep_alive, name)`` for it.

    ``design`` is one of ``skitai.WEBSOCKET_REQDATA``, ``_DEDICATE`` and ``_MULTICAST``. ``keep_alive``:
    seconds without a message in either direction before the websocket is closed; None and 0 close none.
    ``name`` is the variable of the design. ``subprotocols`` are those that the app speaks, the best first;
    without one that the client offers, none is agreed upon. ``serve(ws)`` is called in the place of a second
    call of the app: a function where apps run, a coroutine function in the reactor.
    """

    design: int
    keep_alive: float | None = None
    name: str | None = None
    subprotocols: tuple[str, ...] = ()
    serve: Callable[[Any], Any] | None = None
