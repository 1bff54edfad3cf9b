"""Compression of messages: permessage-deflate (RFC 7692), which autobahn's classes negotiate.

No message refers to an earlier one ("no context takeover"), and our window is small: so a socket has a
compressor, 39 KB, only while a message is made.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
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
#: The end of the compressed data that is not sent (section 7.2.1).
_SYNC = b"\0\0\xff\xff"


class Unpacker:
    """Unpacks messages for autobahn's reader, whose methods these are.

    Not autobahn's own class: where a message reaches the limit, that one may cut off its end unseen.
    """

    __slots__ = ("_stream", "_window_bits")

    #: What autobahn's errors call it.
    EXTENSION_NAME = NAME

    def __init__(self, window_bits: int) -> None:
        self._window_bits = window_bits
        self._stream: Any = None

    def start_decompress_message(self) -> None:
        """Begin with a message."""
        self._stream = zlib.decompressobj(-self._window_bits)

    def decompress_message_data(self, data: bytes, max_output_len: int) -> bytes:
        """Return what the next piece contains. Raises autobahn's errors, if that is too much or broken."""
        from autobahn.exception import PayloadCorruptError, PayloadExceededError

        try:
            # With room for one byte more, there is nothing left in the stream unless it is too much.
            unpacked: bytes = self._stream.decompress(data, max_output_len + 1)
        except zlib.error as error:
            raise PayloadCorruptError(str(error)) from error
        if len(unpacked) > max_output_len:
            raise PayloadExceededError
        return unpacked

    def end_decompress_message(self) -> None:
        """End a message: what the sender has left out, an empty block, would add nothing."""
        self._stream = None


@attrs.frozen
class Deflate:
    """What both ends of a websocket agreed upon: the windows, in bits, of our messages and of the peer's.

    ``parameters`` is the member of Sec-WebSocket-Extensions with which a server accepts.
    """

    our_bits: int
    peer_bits: int
    parameters: str = ""

    def frame_of(self, message: str | bytes) -> bytes:
        """Return the one frame of a text (str) or binary (bytes) message, compressed if that is worth it."""
        if len(message) < _SMALL:
            return frame_of(message)
        first, payload = (TEXT, message.encode()) if isinstance(message, str) else (BINARY, message)
        stream = zlib.compressobj(wbits=-self.our_bits, memLevel=_MEMORY_LEVEL)
        packed = stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH)
        return whole_frame(first | _COMPRESSED, packed.removesuffix(_SYNC))

    def unpacker(self) -> Unpacker:
        """Return what unpacks the messages of the peer."""
        return Unpacker(self.peer_bits)


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
            window_bits=min(window, offer.request_max_window_bits or window),
        )
    except Exception:  # noqa: BLE001 - autobahn raises it for whatever it cannot accept
        return None
    return Deflate(
        accept.window_bits, accept.request_max_window_bits or zlib.MAX_WBITS, accept.get_extension_string()
    )


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
    our_bits = min(_WINDOW_BITS, response.client_max_window_bits or _WINDOW_BITS)
    return Deflate(our_bits, response.server_max_window_bits or zlib.MAX_WBITS)


def _autobahn() -> Any:
    # Not before it is needed: importing it takes 40 ms and 5 MB.
    from autobahn.websocket import compress_deflate

    return compress_deflate
