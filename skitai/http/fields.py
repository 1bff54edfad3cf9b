"""The common syntax of header fields (RFC 9110, section 5.6), for servers, clients and apps.

All functions take linear time, whatever a stranger has written.
"""

from __future__ import annotations

import re
from typing import Final

#: The usual methods, in the order in which Allow lists them.
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
#: The Allow field for a resource that takes all of them.
ALLOW_ALL: Final = ", ".join(METHODS)

#: The name of a field or a parameter, or a method (section 5.6.2).
TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: The value of a field: latin-1 without line ends (section 5.5).
FIELD_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

#: The fields of one connection (section 7.6.1): they belong to the server or the client, not to an app.
HOP_BY_HOP: Final = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)

#: Members of one list that are read. No honest peer sends as many.
MEMBERS_MAX: Final = 256

_SPACE = " \t"
# An unterminated quoted string takes all the rest, so no character is read twice.
_PIECES: Final = {
    separator: re.compile(rf'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[^"{separator}]+|{separator}', re.DOTALL)
    for separator in ",;"
}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_QUALITY = re.compile(r"[0-9]{1,3}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}")


def plain(text: object) -> str:
    """Return ``text`` as a plain str: of a ``(str, Enum)`` its value, where ``str()`` gives its name."""
    return str.__str__(text) if isinstance(text, str) else str(text)


def split_list(value: str) -> list[str]:
    """Return the members of a list, without empty ones and surrounding spaces (section 5.6.1).

    A comma in a quoted string separates nothing. At most ``MEMBERS_MAX`` members are returned.
    """
    return split_all(value)[:MEMBERS_MAX]


def split_all(value: str) -> list[str]:
    """Return what ``split_list`` does, however many members there are."""
    texts = _split_quoted(value, ",") if '"' in value else value.split(",")
    return [member for text in texts if (member := text.strip(_SPACE))]


def last_members(value: str) -> list[str]:
    """Return the last members of a list, ``MEMBERS_MAX`` at most, in which quotes mean nothing.

    For what each proxy appends to: only the end is the word of somebody we know.
    """
    texts = value.rsplit(",", MEMBERS_MAX)[-MEMBERS_MAX:]
    return [member for text in texts if (member := text.strip(_SPACE))]


def last_pairs(value: str) -> list[dict[str, str]]:
    """Return the pairs of the last elements of Forwarded, ``MEMBERS_MAX`` at most (RFC 7239, section 4).

    As ``last_members``, but quotes mean something.
    """
    return [split_parameters(f";{element}")[1] for element in split_all(value)[-MEMBERS_MAX:]]


def split_parameters(value: str) -> tuple[str, dict[str, str]]:
    """Return what stands before the first ``;``, and the parameters after it (section 5.6.6).

    Names are in lower case, and quoted values are unquoted. Anything but ``name=value`` is left out. If a
    name comes twice, the first one counts.
    """
    first, *rest = _split_quoted(value, ";") if '"' in value else value.split(";", MEMBERS_MAX)
    parameters: dict[str, str] = {}
    for text in rest[:MEMBERS_MAX]:
        name, equals, written = text.partition("=")
        name = name.strip(_SPACE).lower()
        if equals and TOKEN.fullmatch(name):
            parameters.setdefault(name, unquoted(written.strip(_SPACE)))
    return first.strip(_SPACE), parameters


def media_type(value: str | None) -> str:
    """Return the media type of a Content-Type, in lower case and without parameters, or an empty str."""
    return (value or "").partition(";")[0].strip(_SPACE).lower()


def weighted_list(value: str) -> list[tuple[str, float]]:
    """Return the members of a field such as Accept, in lower case, each with its weight (section 12.4.2).

    A member with a malformed weight is left out, and one above 1 counts as 1. Other parameters are dropped.
    """
    members = []
    for text in split_list(value):
        name, parameters = split_parameters(text)
        quality = parameters.get("q", "1")
        if name and _QUALITY.fullmatch(quality):
            members.append((name.lower(), min(1.0, float(quality))))
    return members


def quoted(text: str) -> str:
    """Return ``text`` as a quoted string (section 5.6.4). It must not hold line breaks."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def unquoted(text: str) -> str:
    """Return the text of a quoted string; anything else is returned as it is."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return _ESCAPE.sub(r"\1", text[1:-1])
    return text


def _split_quoted(value: str, separator: str) -> list[str]:
    texts, start = [], 0
    for piece in _PIECES[separator].finditer(value):
        if piece[0] == separator:
            texts.append(value[start : piece.start()])
            start = piece.end()
    return [*texts, value[start:]]
