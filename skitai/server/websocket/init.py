"""What an app sets in ``environ["websocket_init"]`` to accept a websocket."""

from __future__ import annotations

from skitai import WEBSOCKET_DEDICATE, WEBSOCKET_MULTICAST, WEBSOCKET_REQDATA
from skitai.http.fields import TOKEN
from skitai.websocket.init import WebSocketInit

__all__ = ["INIT", "WebSocketInit", "read_init"]

#: The key in the environ: present, with the value None, in the call of the app for a handshake.
INIT = "websocket_init"

_DESIGNS = {
    WEBSOCKET_REQDATA: "skitai.WEBSOCKET_REQDATA",
    WEBSOCKET_DEDICATE: "skitai.WEBSOCKET_DEDICATE",
    WEBSOCKET_MULTICAST: "skitai.WEBSOCKET_MULTICAST",
}
_FORM = "(skitai.WEBSOCKET_..., keep-alive in seconds, name of a variable or None)"


def read_init(value: object) -> WebSocketInit | None:
    """Return what an app has set, or None if it has left the None.

    It is a ``WebSocketInit``, or a tuple of its first three items. Raises TypeError or ValueError for what
    cannot be. Called in the app's thread, so that a traceback shows the request.
    """
    if value is None:
        return None
    if isinstance(value, tuple | list):
        if len(value) != 3:
            raise ValueError(f"{INIT} must be {_FORM}: it has {len(value)} items")
        value = WebSocketInit(*value)
    if not isinstance(value, WebSocketInit):
        raise TypeError(f"{INIT} must be {_FORM}, not {value!r}")
    _check_design(value)
    _check_keep_alive(value.keep_alive)
    _check_name(value)
    _check_subprotocols(value.subprotocols)
    return value


def _check_design(init: WebSocketInit) -> None:
    if type(init.design) is not int or init.design not in _DESIGNS:
        raise ValueError(f"{INIT}: {init.design!r} is not a design; there are {', '.join(_DESIGNS.values())}")
    if init.serve is None:
        return
    if not callable(init.serve):
        raise TypeError(f"{INIT}: serve must be a function, not {init.serve!r}")
    if init.design != WEBSOCKET_DEDICATE:
        raise ValueError(f"{INIT}: serve goes with WEBSOCKET_DEDICATE, not {_DESIGNS[init.design]}")


def _check_keep_alive(value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{INIT}: the keep-alive must be a number of seconds or None, not {value!r}")
    if not 0 <= value < float("inf"):
        raise ValueError(f"{INIT}: the keep-alive cannot be {value!r} seconds; 0 and None set no limit")


def _check_name(init: WebSocketInit) -> None:
    if init.name is not None and not isinstance(init.name, str):
        raise TypeError(f"{INIT}: the name of the variable must be a str or None, not {init.name!r}")
    if init.design == WEBSOCKET_REQDATA and not init.name:
        raise ValueError(f"{INIT}: WEBSOCKET_REQDATA needs the name of the variable that gets the message")


def _check_subprotocols(names: object) -> None:
    if not isinstance(names, tuple | list):
        raise TypeError(f"{INIT}: subprotocols must be a tuple of names, not {names!r}")
    for name in names:
        if not isinstance(name, str) or TOKEN.fullmatch(name) is None:
            raise ValueError(f"{INIT}: {name!r} cannot be the name of a subprotocol (RFC 6455, section 4.1)")
