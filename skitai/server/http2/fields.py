"""Response heads as header blocks (RFC 7541).

Fields are written without the dynamic table, as nginx does. So the same head is the same bytes on every
connection, and is made once; and no connection keeps a table for the fields that it sends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import attrs
from hpack.table import HeaderTable

from skitai.http.fields import HOP_BY_HOP, TOKEN
from skitai.http.recurring import Recurring
from skitai.server.http1.framing import (
    HEAD_SIZE_MAX,
    HEADS_MAX,
    NOT_INTERIM,
    SPECIAL,
    body_length,
    content_length,
)

#: The first bytes of a connection's first block: the dynamic table has size 0 (RFC 7541, section 6.3).
NO_TABLE = b"\x20"
CONTINUE = b"\x08\x03100"

_NAMES = {name: index for index, (name, _) in reversed(list(enumerate(HeaderTable.STATIC_TABLE, 1)))}
_STATUSES = {
    value.decode(): index
    for index, (name, value) in enumerate(HeaderTable.STATIC_TABLE, 1)
    if name == b":status"
}
#: As in HTTP/1.1, where they would break the framing; here the field would be malformed.
_BREAKING = re.compile(r"[\0\r\n]")


@attrs.frozen
class Head:
    """The head of a response as a header block, without Date and Server (see ``stamp``).

    ``length`` is the length of the body; None if it is unknown, or if there is no body. ``dated``,
    ``served``, ``identified`` and ``strict`` say that the head has a Date, a Server, an X-Request-ID or a
    Strict-Transport-Security field.
    """

    block: bytes
    length: int | None
    dated: bool
    served: bool
    identified: bool
    strict: bool


_heads: Recurring[tuple[object, ...], Head] = Recurring(HEADS_MAX)


def encode_head(
    status: str, headers: tuple[tuple[str, str], ...], length: int | None, bodyless: bool
) -> Head:
    """Return the head of a response; see ``render_head`` of HTTP/1.1, which takes and raises the same.

    Fields of a connection are left out (RFC 9113, section 8.2.2). Called in the reactor thread.
    """
    key = (status, headers, length, bodyless)
    head = _heads.get(key)
    if head is None:
        head = _make_head(status, headers, length, bodyless)
        if len(head.block) <= HEAD_SIZE_MAX:
            _heads.remember(key, head)
    return head


def _make_head(status: str, headers: tuple[tuple[str, str], ...], length: int | None, bodyless: bool) -> Head:
    code = status[:3]
    if code < "200":
        raise ValueError(f"{status!r} is not a final status")
    parts = [_encode_status(code)]
    announced: int | None = None
    dated = served = identified = strict = False
    for name, value in headers:
        lower = name.lower()
        if lower in SPECIAL:
            if lower == "content-length":
                announced = content_length(value, announced)
                continue
            if lower in HOP_BY_HOP:
                continue
            dated = dated or lower == "date"
            served = served or lower == "server"
            identified = identified or lower == "x-request-id"
            strict = strict or lower == "strict-transport-security"
        parts.append(encode_field(lower, value))
    length, is_told = body_length(code, length, announced, bodyless)
    if is_told:
        parts.append(encode_field("content-length", str(length)))
    return Head(b"".join(parts), None if bodyless else length, dated, served, identified, strict)


def encode_interim(status: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """Return an interim response; see ``render_interim`` of HTTP/1.1, which takes and raises the same."""
    fields = [(name.lower(), value) for name, value in headers]
    return _encode_status(status[:3]) + encode_fields(pair for pair in fields if pair[0] not in NOT_INTERIM)


def encode_fields(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return fields as literals; see ``encode_field``."""
    return b"".join([encode_field(name.lower(), value) for name, value in fields])


def _encode_status(code: str) -> bytes:
    index = _STATUSES.get(code)
    if index is not None:
        return bytes((0x80 | index,))
    if not (len(code) == 3 and code.isascii() and code.isdigit()):
        raise ValueError(f"{code!r} is not a status")
    return _encode(_NAMES[b":status"], b"", code.encode())


def encode_field(name: str, value: str) -> bytes:
    """Return a field as a literal; ``name`` is in lower case. Raises ValueError if it would be malformed."""
    value = value.strip(" \t")
    if TOKEN.fullmatch(name) is None or _BREAKING.search(value) is not None:
        raise ValueError("control character in the status or a header field")
    raw = name.encode("latin-1")
    return _encode(_NAMES.get(raw, 0), raw, value.encode("latin-1"))


@lru_cache(16)  # the date changes once a second
def stamp(date: str, dated: bool, served: bool, server: str) -> bytes:
    """Return the Date and Server fields that a head lacks."""
    fields = b"" if dated else encode_field("date", date)
    return fields if served else fields + encode_field("server", server)


def _encode(index: int, name: bytes, value: bytes) -> bytes:
    """Return a literal field without indexing (RFC 7541, section 6.2.2)."""
    start = _integer(index, 4)
    if not index:
        start += _integer(len(name), 7) + name
    return start + _integer(len(value), 7) + value


def _integer(number: int, bits: int) -> bytes:
    """Return ``number`` after a prefix of zeros (RFC 7541, section 5.1)."""
    most = (1 << bits) - 1
    if number < most:
        return bytes((number,))
    found = [most]
    number -= most
    while number >= 128:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)
