"""Names of character encodings: those that browsers know, and no other codec of Python."""

import codecs

import pytest

from skitai.http.charsets import _CODECS, codec_of
from skitai.services.http import HTTPResult


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("utf-8", "utf-8-sig"),
        ("UTF8", "utf-8-sig"),
        (" utf-8 ", "utf-8-sig"),
        ("ISO-8859-1", "latin-1"),
        ("iso_8859-1", "latin-1"),
        ("iso8859-15", "iso8859-15"),
        ("windows-1252", "cp1252"),
        ("cp1251", "cp1251"),
        ("Shift_JIS", "cp932"),
        ("euc-kr", "cp949"),
        ("gb2312", "gb18030"),
        ("big5", "big5hkscs"),
        ("koi8-r", "koi8-r"),
        ("utf-16", "utf-16"),
    ],
)
def test_labels(label, codec):
    """A label of the WHATWG Encoding Standard, section 4.2, in any case of letters."""
    assert codec_of(label) == codec


@pytest.mark.parametrize(
    "label",
    ["", "punycode", "idna", "unicode_escape", "raw-unicode-escape", "utf-7", "rot13", "hex", "base64",
     "zlib", "undefined", "mbcs", "hz", "iso-2022-kr", "us-ascii", "utf-32", "\0", "utf-8\0", "x" * 30_000,
     "none"],
)  # fmt: skip
def test_everything_else_is_no_encoding(label):
    """What is not in that list, which browsers do not know either, is no encoding, though Python knows it."""
    assert codec_of(label) is None


def test_every_codec_is_there():
    """Python has each codec of the table, and it gives text."""
    for codec in set(_CODECS.values()):
        assert codecs.lookup(codec)._is_text_encoding
        assert isinstance(b"abcd".decode(codec, "replace"), str)


@pytest.mark.parametrize(
    ("content_type", "data", "text"),
    [
        ("text/plain; charset=iso-8859-1", b"caf\xe9", "café"),
        ("text/plain; charset=shift_jis", "日本".encode("cp932"), "日本"),
        ("text/plain; charset=utf-8", b"\xef\xbb\xbfa\xff", "a\ufffd"),
        ("text/plain; charset=unicode_escape", rb"\u0041", r"\u0041"),
        ("text/plain; charset=utf-7", b"+AGE-", "+AGE-"),
        ("text/plain; charset=us-ascii", "é".encode(), "é"),
        ("text/plain; charset=us-ascii", b"\xe9", "é"),
        ('text/plain; charset="a\\\0b"', "é".encode(), "é"),
        ("text/plain; charset*=utf-8''latin-1", "é".encode(), "é"),
        ("text/plain; a*1=b;a*=b", "é".encode(), "é"),
        ("text/plain; charset=punycode", b"a-" * 150_000, "a-" * 150_000),
        ("text/plain" + ";" * 30_000, "é".encode(), "é"),
    ],
)
def test_text_of_a_reply(content_type, data, text):
    """``text`` takes the encoding that is named, and falls back where none is; no name changes the text.

    punycode would take seconds for this. A BOM is no part of the text (WHATWG, "UTF-8 decode").
    """
    assert HTTPResult(data, headers=[("Content-Type", content_type)]).text == text
