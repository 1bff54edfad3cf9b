"""The header fields on their way: what belongs to one connection ends here (RFC 9110, section 7.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from skitai.http.fields import FIELD_VALUE, HOP_BY_HOP, TOKEN, split_all

#: What the two connections of a proxy have each of their own.
_OF_CONNECTION = HOP_BY_HOP | {"proxy-authenticate", "proxy-authorization"}
_REPLY_OWN = _OF_CONNECTION | {"x-accel-buffering"}
#: What a member does not get as it came: the proxy says it anew, or must not be told it by a client. Programs
#: take a field Proxy for a setting of theirs.
WITHHELD = frozenset(
    name.encode() for name in (*_OF_CONNECTION, "content-length", "expect", "forwarded", "host", "proxy")
) | {b"x-request-id"}
#: What must be known before the body, or whom the reply is for: no trailer says it (RFC 9110, section 6.5.1).
_NO_TRAILERS = _OF_CONNECTION | {
    "age", "authorization", "cache-control", "content-encoding", "content-length", "content-location",
    "content-range", "content-type", "date", "expires", "host", "location", "pragma", "retry-after",
    "set-cookie", "strict-transport-security", "vary", "www-authenticate", "x-accel-buffering",
}  # fmt: skip
_CUSTOMARY = b"x-forwarded-"
_REAL_IP = b"x-real-ip"
#: What only a trusted proxy may say of the client (RFC 9440, section 4, for certificates).
_OF_TRUSTED = frozenset((_REAL_IP, b"client-cert", b"client-cert-chain"))
#: With these a proxy says that it asks for somebody else.
FOR_OTHERS = frozenset((b"forwarded", b"via", b"x-forwarded-for", _REAL_IP))
#: Protocols in which a client could ask for what the proxy would refuse: HTTP, and TLS with HTTP in it.
_NOT_TUNNELLED = frozenset((b"h2", b"h2c", b"http", b"tls"))
#: A protocol in Upgrade (RFC 9110, section 7.8); the first group is its name.
_PROTOCOL = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?")
#: Values of Connection that name no field.
_PLAIN = frozenset(("keep-alive", "close", "upgrade", "te", ""))


class UnsendableError(ValueError):
    """A request that could be taken for more than one."""


def request_lines(
    headers: Iterable[tuple[bytes, bytes]], *, trusted: bool, withheld: frozenset[bytes] = WITHHELD
) -> list[bytes]:
    """Return the lines of a client's fields that a member gets, each with its CRLF.

    Names are in lower case. Without ``trusted``, the client may not say which address or certificate it has.
    The fields ``withheld`` are not passed on. Raises UnsendableError for a field that would be several lines:
    every protocol of clients refuses it, and none must forget to.
    """
    lines = []
    connection = b""
    for name, value in headers:
        if name not in withheld and not name.startswith(_CUSTOMARY) and (trusted or name not in _OF_TRUSTED):
            lines.append(b"%b: %b\r\n" % (name, value))
        elif name == b"connection":
            connection += b"," + value
    if connection:
        named = named_by(connection.decode("latin-1"))
        if named:
            own = tuple(f"{name}:".encode("latin-1") for name in named)
            lines = [line for line in lines if not line.startswith(own)]
    joined = b"".join(lines)
    if not joined.count(b"\n") == joined.count(b"\r") == len(lines) or 0 in joined:
        raise UnsendableError("a field holds a line break")
    return lines


def reply_fields(headers: Sequence[tuple[str, str]], code: int) -> tuple[list[tuple[str, str]], bool]:
    """Return the fields of a member's reply with the status ``code`` that the client gets.

    Also return whether the member allows that the reply waits in buffers (``X-Accel-Buffering``).
    """
    buffered = True
    fields = []
    connection = ""
    for name, value in headers:
        lower = name.lower()
        if lower not in _REPLY_OWN or (lower == "upgrade" and code == 426):
            fields.append((name, value))
        elif lower == "connection":
            connection += "," + value
        elif lower == "x-accel-buffering":  # a proxy in front of this one must hear it, too
            buffered = value.lower() != "no"
            fields.append((name, value))
    if connection:
        named = named_by(connection)
        if named:
            fields = [(name, value) for name, value in fields if name.lower() not in named]
    return fields, buffered


def tunnelled(upgrade: bytes) -> bytes:
    """Return those of the protocols in a client's ``upgrade`` that a member may be asked for, as a list.

    Anything that is no protocol is left out: a member might read it as one.
    """
    matches = [_PROTOCOL.fullmatch(item.strip(b" \t")) for item in upgrade.split(b",")]
    return b", ".join(match[0] for match in matches if match and match[1].lower() not in _NOT_TUNNELLED)


def takes_trailers(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a client has said that it takes trailers (RFC 9110, section 10.1.4)."""
    for name, value in headers:
        if name == b"te" and b"trailers" in [coding.strip(b" \t") for coding in value.lower().split(b",")]:
            return True
    return False


def trailer_fields(trailers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the trailers of a member's reply that may come behind the body."""
    return [
        (name, value)
        for name, value in trailers
        if name.lower() not in _NO_TRAILERS and TOKEN.fullmatch(name) and FIELD_VALUE.fullmatch(value)
    ]


def named_by(connection: str) -> set[str]:
    """Return the fields that the values of Connection name, in lower case."""
    return {name for name in map(str.lower, split_all(connection)) if name not in _PLAIN}
