"""The messages that apps give: texts and bytes, as frames of websockets take them (RFC 6455, section 5.6)."""

from __future__ import annotations

from typing import Any

from skitai.websocket.conversation import Message

#: The opcodes of messages.
TEXT, BINARY = 1, 2
#: What an app may write for each as ``encoding``.
_OPCODES = {"text": TEXT, "binary": BINARY, TEXT: TEXT, BINARY: BINARY}


def message_of(message: Any, encoding: Any = None) -> Message:
    """Return what is sent for an app's ``message``: a str as text, bytes as binary.

    ``encoding`` is ``"text"`` or ``"binary"``, or the opcode 1 or 2: the message is sent as that. Raises
    TypeError or ValueError that names the wrong argument. Called in the app's thread.
    """
    if isinstance(message, bytearray | memoryview):
        message = bytes(message)
    if not isinstance(message, str | bytes):
        hint = ": write was.tojson(...)" if isinstance(message, dict | list) else ""
        raise TypeError(f"message must be str or bytes, not {type(message).__name__}{hint}")
    opcode = _opcode(encoding) or opcode_of(message)
    try:
        if isinstance(message, str):
            # A text is sent as it is: this finds what cannot be encoded.
            encoded = message if opcode == TEXT and message.isascii() else message.encode()
            return message if opcode == TEXT else encoded
        return message if opcode == BINARY else message.decode()
    except UnicodeEncodeError:
        raise ValueError("message holds a lone surrogate, which UTF-8 cannot encode") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"message is to be sent as text, but is not UTF-8: {error}") from None


def opcode_of(message: Message) -> int:
    """Return the opcode of the frame that carries ``message``."""
    return TEXT if isinstance(message, str) else BINARY


def _opcode(encoding: Any) -> int | None:
    if encoding is None:
        return None
    if isinstance(encoding, str | int) and encoding in _OPCODES:
        return _OPCODES[encoding]
    raise ValueError(f"encoding must be 'text', 'binary' or an opcode, 1 or 2, not {encoding!r}")
