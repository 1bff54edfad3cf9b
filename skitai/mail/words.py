"""What texts of a mail may contain, and how messages show them."""

from __future__ import annotations

import unicodedata

#: Unicode's categories of what breaks lines or is no character: controls, surrogates, separators.
_REFUSED = frozenset({"Cc", "Cs", "Zl", "Zp"})
_SHOWN_MAX = 80


def checked_text(text: object, argument: str) -> str:
    """Return ``text``, which is for one header field.

    Raises TypeError unless it is a str, and ValueError if it has a control character or a line separator:
    with a line end in it, a name or a subject would add header fields. Both name the ``argument``.
    """
    if not isinstance(text, str):
        raise TypeError(f"{argument} must be a str, not {text!r}")
    if text.isascii() and text.isprintable():
        return text
    for character in text:
        if unicodedata.category(character) in _REFUSED:
            raise ValueError(f"{argument} has the character U+{ord(character):04X}, which no header may have")
    return text


def shown(text: str) -> str:
    """Return ``text`` as a message shows it: quoted, without control characters, and not too long."""
    return repr(text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}...")


def quoted_string(text: str) -> str:
    r"""Return ``text`` in quotes, with a backslash before what would end them (RFC 5322, section 3.2.4)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
