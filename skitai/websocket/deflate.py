"""Compression of messages: permessage-deflate (RFC 7692), with autobahn's codec.

No message refers to an earlier one ("no context takeover"), and our window is small: so a socket has a
compressor, 39 KB, only while a message is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from skitai.websocket.frames import BINARY, TEXT, frame_of, whole_frame

#: The name of the extension.
NAME = "permessage-deflate"
#: The parameters of an extension by name: the values of each, True for one that has none.
Parameters = Mapping[str, list[str | bool]]

#: The window of our compressor, in bits, and its memory level.
_WINDOW_BITS, _MEMORY_LEVEL = 12, 5
#: Messages of fewer bytes are sent as they are.
_SMALL = 128
#: The bit of the first byte (RFC 7692, section 6).
_COMPRESSED = 0x40


@attrs.frozen
class Deflate:
    """What both ends of a websocket agreed upon: ``codec()`` returns a new object of autobahn for it.

    ``parameters`` is the member of Sec-WebSocket-Extensions with which a server accepts.
    """

    codec: Callable[[], Any]
    parameters: str = ""

    def frame_of(self, message: str | bytes) -> bytes:
        """Return the one frame of a text (str) or binary (bytes) message, compressed if that is worth it."""
        if len(message) < _SMALL:
            return frame_of(message)
        first, payload = (TEXT, message.encode()) if isinstance(message, str) else (BINARY, message)
        codec = self.codec()
        codec.start_compress_message()
        packed = codec.compress_message_data(payload) + codec.end_compress_message()
        return whole_frame(first | _COMPRESSED, packed)


def accept_offer(parameters: Parameters) -> Deflate | None:
    """Return what a server makes of a client's offer; None if it cannot accept it."""
    autobahn = _autobahn()
    try:
        offer = autobahn.PerMessageDeflateOffer.parse(parameters)
        window = _WINDOW_BITS
        hint = parameters.get("client_max_window_bits", [True])[0]
        accept = autobahn.PerMessageDeflateOfferAccept(
            offer,
            request_no_context_takeover=True,
            # Not more than the client has said. Autobahn would forget that.
            request_max_window_bits=(
                (window if hint is True else min(window, int(hint))) if offer.accept_max_window_bits else 0
            ),
            no_context_takeover=True,
            window_bits=min(window, offer.request_max_window_bits or window),
            mem_level=_MEMORY_LEVEL,
        )
    except Exception:  # noqa: BLE001 - autobahn raises it for whatever it cannot accept
        return None
    codec = autobahn.PerMessageDeflate
    return Deflate(lambda: codec.create_from_offer_accept(True, accept), accept.get_extension_string())


def offer_text() -> str:
    """Return the offer of a client, as it stands in Sec-WebSocket-Extensions."""
    text: str = _autobahn().PerMessageDeflateOffer(request_no_context_takeover=True).get_extension_string()
    return text


def accept_response(parameters: Parameters) -> Deflate:
    """Return what a client makes of the server's answer to ``offer_text``.

    Raises ValueError with the reason if that is no proper answer.
    """
    autobahn = _autobahn()
    try:
        response = autobahn.PerMessageDeflateResponse.parse(parameters)
    except Exception as error:
        raise ValueError(str(error)) from error
    if not response.server_no_context_takeover:
        raise ValueError(f"{NAME} without server_no_context_takeover, which was asked for")
    accept = autobahn.PerMessageDeflateResponseAccept(
        response,
        no_context_takeover=True,
        window_bits=min(_WINDOW_BITS, response.client_max_window_bits or _WINDOW_BITS),
        mem_level=_MEMORY_LEVEL,
    )
    codec = autobahn.PerMessageDeflate
    return Deflate(lambda: codec.create_from_response_accept(False, accept))


def _autobahn() -> Any:
    # Not before it is needed: importing it takes 40 ms and 5 MB.
    from autobahn.websocket import compress_deflate

    return compress_deflate
