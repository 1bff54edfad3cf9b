"""The syntax that the header fields of HTTP share (RFC 9110, section 5.6), for servers, clients and apps.

Every function takes a time that grows with the length of its text and no faster, whatever a stranger wrote.
"""

from __future__ import annotations

import re
from typing import Final

#: The methods that everybody knows, in the order in which Allow lists them.
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
#: Allow for what takes all of them.
ALLOW_ALL: Final = ", ".join(METHODS)

#: A field's name, a method, a parameter's name (section 5.6.2).
TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: What a field's value may hold: nothing that ends its line, nothing beyond latin-1 (section 5.5).
FIELD_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

#: The fields of one connection (section 7.6.1): they belong to the server or the client, not to an app.
HOP_BY_HOP: Final = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)

#: Members of one list that are read. No honest client sends as many; each costs far more than its bytes.
MEMBERS_MAX: Final = 256

_SPACE = " \t"
# A quoted string without an end takes all that is left: so no place is looked at twice.
_PIECES: Final = {
    separator: re.compile(rf'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[^"{separator}]+|{separator}', re.DOTALL)
    for separator in ",;"
}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_QUALITY = re.compile(r"[0-9]{1,3}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}")


def split_list(value: str, separator: str = ",", *, most: int = MEMBERS_MAX) -> list[str]:
    """Return the members of a list, without the empty ones and the spaces around them (section 5.6.1).

    ``separator`` is a comma or a semicolon; inside a quoted string it separates nothing. Of more than
    ``most`` members the first ones are returned.
    """
    texts = _split_quoted(value, separator) if '"' in value else value.split(separator)
    return [member for text in texts if (member := text.strip(_SPACE))][:most]


def split_parameters(value: str) -> tuple[str, dict[str, str]]:
    """Return what stands before the first ``;``, and the parameters after it (section 5.6.6).

    Names are in lower case, quoted values without their quotes. What is no ``name=value`` is left out; of two
    with one name the first counts.
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
    """Return the type that a Content-Type names, in lower case and without parameters; empty for none."""
    return (value or "").partition(";")[0].strip(_SPACE).lower()


def weighted_list(value: str) -> list[tuple[str, float]]:
    """Return the members of a field such as Accept, in lower case, each with its weight (section 12.4.2).

    A weight is a number from 0 to 1. A member with another weight is left out, and parameters are dropped.
    """
    members = []
    for text in split_list(value):
        name, parameters = split_parameters(text)
        quality = parameters.get("q", "1")
        if name and _QUALITY.fullmatch(quality):
            members.append((name.lower(), min(1.0, float(quality))))
    return members


def quoted(text: str) -> str:
    """Return ``text`` as a quoted string (section 5.6.4); a line break in it is the caller's to refuse."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def unquoted(text: str) -> str:
    """Return what a quoted string says; anything else comes back as it is."""
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
