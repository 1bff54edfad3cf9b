"""How websockets end: the codes of RFC 6455, section 7.4, and what apps see."""

from __future__ import annotations

from typing import Any

from skitai.errors import CODE_CLOSED, OperationError

#: The codes of close frames (RFC 6455, section 7.4.1).
NORMAL, GOING_AWAY, PROTOCOL_ERROR, UNSUPPORTED_DATA = 1000, 1001, 1002, 1003
INVALID_DATA, POLICY_VIOLATION, TOO_BIG, INTERNAL_ERROR, TRY_AGAIN_LATER = 1007, 1008, 1009, 1011, 1013
#: What stands for no code, and for no close frame: never sent.
NO_CODE, ABNORMAL = 1005, 1006
#: The longest reason, in bytes (RFC 6455, section 5.5).
REASON_MAX = 123

#: 1010 is for clients alone; 1012 and 1014 are of IANA's registry.
_SENDABLE = frozenset((*range(1000, 1004), *range(1007, 1015)))


def may_send(code: int) -> bool:
    """Return whether a close frame may have ``code``: 3000 to 4999 are for libraries and apps."""
    return code in _SENDABLE or 3000 <= code <= 4999


def read_close(payload: bytes) -> tuple[int, str, bool]:
    """Return code and reason of a close frame with this payload, and True; 1005 if it has no code.

    If it breaks the rules: 1002 or 1007, what is wrong, and False.
    """
    if not payload:
        return NO_CODE, "", True
    code = int.from_bytes(payload[:2])
    if len(payload) < 2 or not may_send(code):  # what must not be sent must not come, either
        return PROTOCOL_ERROR, f"a close frame cannot have the code {code}", False
    try:
        return code, payload[2:].decode(), True
    except UnicodeDecodeError:
        return INVALID_DATA, "the reason of a close is not UTF-8", False


class WebSocketClosed(OperationError):  # noqa: N818 - what peers call theirs
    """The websocket is closed, so nothing can be sent: ``close_code`` and ``reason`` say how it ended."""

    def __init__(self, close_code: int, reason: str) -> None:
        self.close_code = close_code
        self.reason = reason
        because = f": {reason}" if reason else ""
        super().__init__(f"the websocket is closed ({close_code}{because})", code=CODE_CLOSED)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.close_code, self.reason), vars(self)
