"""The addresses of the config's listen."""

import re
from pathlib import Path

import pytest

from skitai.net.endpoints import PortEndpoint, UnixEndpoint, parse_endpoint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", PortEndpoint("", 80)),
        ("0", PortEndpoint("", 0)),
        ("443 ssl", PortEndpoint("", 443, tls=True)),
        ("127.0.0.1:8080", PortEndpoint("127.0.0.1", 8080)),
        ("[::1]:443 ssl", PortEndpoint("::1", 443, tls=True)),
        ("unix:/run/x.sock", UnixEndpoint(Path("/run/x.sock"))),
        ("unix:my folder/x ssl", UnixEndpoint(Path("my folder/x"), tls=True)),
    ],
)
def test_forms(text, expected):
    """A port, an IP address with a port, a Unix socket; each with TLS or without; shown as it was written."""
    assert parse_endpoint(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    ("text", "shown"), [("[0:0::0001]:80   ssl", "[::1]:80 ssl"), ("unix: x.sock", "unix:x.sock")]
)
def test_one_spelling(text, shown):
    """An address has one spelling: an IPv6 address is short, and no space stands before a path."""
    assert str(parse_endpoint(text)) == shown


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "'' is no address: write PORT, IP:PORT, [IPV6]:PORT or unix:PATH"),
        ("http", "'http' is no address: "),
        ("::1:80", "'::1:80' is no address: "),
        ("\u0668\u0660", "'\u0668\u0660' is no address: "),
        ("-1", "'-1' is no address: "),
        ("127.0.0.1", "'127.0.0.1' is no address: "),
        ("/run/x.sock", "'/run/x.sock' is no address: "),
        ("65536", "'65536': the port must be at most 65535"),
        ("localhost:80", "'localhost:80': 'localhost' is not an IP address such as 127.0.0.1"),
        ("443 tls", "'443 tls': the word after an address must be ssl, not 'tls'"),
        ("unix:", "'unix:' has no path: write unix:/run/NAME.sock"),
        ("unix: ssl", "'unix: ssl' has no path: "),
    ],
)
def test_refused(text, problem):
    """What is no address is shown with what to write."""
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
        parse_endpoint(text)
