"""What a websocket is opened with: the request of its handshake, and how it may fail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from skitai.errors import CODE_BAD_REPLY, NORMAL, UnsentError
from skitai.http.fields import TOKEN
from skitai.services.http.request import HTTPRequest
from skitai.services.http.result import HTTPResult


@attrs.frozen
class Opening:
    """The request and the subprotocols, most wanted first, of a handshake.

    ``node`` takes the place of the one that the URL names, if only public addresses may be asked. Websockets
    to one node with equal openings may be used in the place of each other.
    """

    request: HTTPRequest
    subprotocols: tuple[str, ...] = ()
    node: Any = None


class RefusedError(UnsentError):
    """The server opened no websocket: nothing of a message was sent.

    ``code`` is the HTTP status if that says so. ``headers`` are those of the reply.
    """

    def __init__(
        self, message: str, *, code: int = CODE_BAD_REPLY, headers: Any = (), node: object = None
    ) -> None:
        self.headers = headers
        super().__init__(message, code=code, node=node)


def refusal(reply: HTTPResult) -> RefusedError:
    """Return the failure for a ``reply`` that is not 101, or for what prevented the last reply."""
    if reply.status != NORMAL:
        error = RefusedError(reply.msg, code=reply.code, node=reply.node)
        error.__cause__ = reply.error
        return error
    text, code = f"no websocket: {reply.node.label} answered {reply.code} {reply.msg}", reply.code
    if code < 300:
        code = CODE_BAD_REPLY  # a result with the code 200 would look like a success
    location = reply.get_header("location")
    if 300 <= code < 400 and location is not None:
        text += f" to {location:.200}; follow=1 follows one redirect"
    return RefusedError(text, code=code, headers=reply.headers, node=reply.node)


def checked_subprotocols(subprotocols: Iterable[str]) -> tuple[str, ...]:
    """Return the names that an app gives; raise TypeError or ValueError for what cannot be (section 4.1)."""
    if isinstance(subprotocols, str | bytes):
        raise TypeError(f"subprotocols must be a list of names, not {subprotocols!r}")
    names = tuple(subprotocols)
    for name in names:
        if not isinstance(name, str) or not TOKEN.fullmatch(name):
            raise ValueError(f"subprotocols: {name!r} is not a name that a header can hold")
    if len({name.lower() for name in names}) < len(names):
        raise ValueError(f"subprotocols: a name stands twice in {names!r}")
    return names


def check_headers(pairs: Iterable[tuple[str, str]]) -> None:
    """Raise ValueError for headers that the handshake sets itself."""
    for name, _ in pairs:
        if name.lower().startswith("sec-websocket-"):
            hint = ": write subprotocols=(...)" if name.lower().endswith("-protocol") else ": leave it out"
            raise ValueError(f"headers: {name!r} is set by the client itself{hint}")
