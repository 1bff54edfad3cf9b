"""Masks of RFC 6455, section 5.3, which all that clients send has."""

from __future__ import annotations

import os
from typing import Any

from skitai.websocket.frames import MASKED, payload_span

#: Up to this length, one operation on a long integer is faster than autobahn's function in C.
_LONG = 1000


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Return ``payload`` combined with the repeated ``mask`` of four bytes; the same undoes it."""
    length = len(payload)
    if length > _LONG:
        # Not before it is needed: a server without websockets does without the 5 MB of autobahn.
        from autobahn.websocket import xormasker

        masker: Any = xormasker
        combined: bytes = masker.create_xor_masker(mask, length).process(payload)
        return combined
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(length)


def masked(frame: bytes) -> bytes:
    """Return the unmasked ``frame`` masked, as a client sends it."""
    span = payload_span(frame, 0)
    assert span is not None
    start = span[0]
    mask = os.urandom(4)
    return b"".join(
        (frame[:1], bytes((frame[1] | MASKED,)), frame[2:start], mask, unmask(frame[start:], mask))
    )
