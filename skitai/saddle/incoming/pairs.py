"""Names and values of a query or an urlencoded form, as text and as bytes."""

from __future__ import annotations

from urllib.parse import parse_qsl


def text_pairs(written: str | bytes, *, strict: bool) -> list[tuple[str, str]]:
    """Return the names and values of an urlencoded query or form.

    Bytes that are not UTF-8 become U+FFFD, as in the URL standard (section 5.1), Django and werkzeug. With
    ``strict``, they raise UnicodeDecodeError.
    """
    errors = "strict" if strict else "replace"
    text = written if isinstance(written, str) else written.decode(errors=errors)
    return parse_qsl(text, keep_blank_values=True, errors=errors)


def byte_values(written: bytes, name: str) -> list[bytes]:
    """Return the values of ``name`` in an urlencoded query or form, as they came."""
    pairs = parse_qsl(written.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    key = name.encode().decode("latin-1")
    return [value.encode("latin-1") for found, value in pairs if found == key]
