"""What people expect of a reply who come from requests."""

import re

import pytest

from skitai.errors import OperationError, OperationTimeout
from skitai.services.http import HTTPNode, HTTPResult


def result(data=b"", content_type=None, **outcome):
    """Return a reply."""
    headers = [] if content_type is None else [("Content-Type", content_type)]
    return HTTPResult(data, headers=headers, **outcome)


@pytest.mark.parametrize(
    ("data", "content_type", "text"),
    [
        ("grün €".encode(), None, "grün €"),
        ("grün".encode(), "text/html", "grün"),
        ("grün".encode("latin-1"), "text/html", "grün"),
        ("grün".encode("latin-1"), "text/html; charset=ISO-8859-1", "grün"),
        ("€".encode("cp1252"), 'text/plain; charset="Windows-1252"', "€"),
        ("글".encode("euc-kr"), "text/plain;CHARSET=EUC-KR", "글"),
        ("ü".encode(), "text/plain; charset=nonsense", "ü"),
        ("ü".encode(), "text/plain; charset=hex", "ü"),
        ("ü".encode(), "text/plain; charset=\xff", "ü"),
        ("ü".encode(), ";;=", "ü"),
        ("ü".encode(), 'text/plain; charset="a\0b"', "ü"),
        ("ü".encode(), "text/plain; a*1=b;a*=b", "ü"),
        (b"\xef\xbb\xbfx", None, "x"),
        (b"a\xffb", "text/plain; charset=utf-8", "a\ufffdb"),
        (b"", None, ""),
    ],
)
def test_text(data, content_type, text):
    """Text is in the charset that the reply names, or else in the one that fits."""
    assert result(data, content_type).text == text


def test_json():
    """JSON is read in whatever encoding it has."""
    for encoding in ("utf-8", "utf-16", "utf-32"):
        assert result('{"ä": 1.5}'.encode(encoding), "application/json").json() == {"ä": 1.5}
    assert result('["ä"]'.encode("latin-1"), "application/json; charset=latin-1").json() == ["ä"]
    assert result(b"1.5").json(parse_float=str) == "1.5"


def test_json_that_is_none():
    """What is no JSON is a ValueError; what is no reply raises what went wrong."""
    with pytest.raises(ValueError, match="Expecting value"):
        result(b"<html>").json()
    with pytest.raises(ValueError, match="nested too deep"):
        result(b"[" * 20_000).json()
    with pytest.raises(OperationTimeout):
        HTTPResult.failed(OperationTimeout()).json()


def test_url():
    """The URL is that of the node that answered; without an answer it is what the app wrote."""
    reply = result(node=HTTPNode("::1", 8443, tls=True))
    reply.asked = "/a?b=c"
    assert reply.url == "https://[::1]:8443/a?b=c"
    assert HTTPResult.failed(OperationTimeout(), target="@search/x").url == "@search/x"
    assert result().url == ""


def test_raise_for_status():
    """Codes from 400 on raise, with all that there is to know."""
    result(code=399).raise_for_status()
    refused = result(code=404, msg="Not Found", node=HTTPNode("h", 80))
    refused.asked = "/x"
    with pytest.raises(OperationError, match=r"\[404\] Not Found") as caught:
        refused.raise_for_status()
    assert (caught.value.code, caught.value.url, caught.value.node.host) == (404, "http://h/x", "h")
    with pytest.raises(OperationTimeout):
        HTTPResult.failed(OperationTimeout()).raise_for_status()


def test_what_is_kept_is_a_copy():
    """The header fields of a reply are the app's own, too: what the cache keeps does not change with them."""
    reply = result(content_type="text/html")
    kept = reply.as_kept()
    reply.headers.append(("X-Mine", "1"))
    assert kept.headers == [("Content-Type", "text/html")]


@pytest.mark.parametrize(
    "kind", ["text/plain; a*1=b;a*=b", "a*=b; a*0*=c", "text/plain; charset*=x; charset*0=y", "*=;"]
)
def test_parameters_in_pieces_are_none(kind):
    """RFC 2231's pieces of parameters are not for HTTP (RFC 8187, 1): the text is there all the same."""
    result = HTTPResult(
        b"caf\xc3\xa9", headers=[("Content-Type", kind)], code=200, msg="OK", node=HTTPNode("h", 80)
    )
    assert result.text == "caf\u00e9"


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("status_code", "did you mean code?"),
        ("content", "did you mean data?"),
        ("reason", "did you mean msg?"),
        ("ok", "write code < 400, or call raise_for_status()"),
        ("cookies", "write get_header('set-cookie')"),
    ],
)
def test_the_words_of_other_clients(word, hint):
    """Users of requests and httpx know them; they are no attributes, as hasattr() sees."""
    with pytest.raises(AttributeError, match=re.escape(f"HTTPResult has no attribute {word!r}: {hint}")):
        getattr(result(), word)
    assert not hasattr(result(), word)
