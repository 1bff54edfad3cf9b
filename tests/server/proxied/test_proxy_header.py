"""The header of the PROXY protocol, as bytes."""

import pytest

from skitai.server.proxied.header import ProxyHeaderError, read_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
IPV4 = bytes([1, 2, 3, 4, 10, 0, 0, 1]) + (5000).to_bytes(2, "big") + (80).to_bytes(2, "big")
IPV6 = bytes(15) + b"\1" + bytes(15) + b"\2" + (5000).to_bytes(2, "big") + (80).to_bytes(2, "big")


def binary(command, family, body):
    return SIGNATURE + bytes([command, family]) + len(body).to_bytes(2, "big") + body


def shown(data):
    header = read_header(data + b"GET /")
    assert header.length == len(data)
    if header.client is None:
        return None
    return [(address.host, address.port) for address in (header.client, header.server)]


@pytest.mark.parametrize(
    ("data", "addresses"),
    [
        (b"PROXY TCP4 1.2.3.4 10.0.0.1 5000 80\r\n", [("1.2.3.4", 5000), ("10.0.0.1", 80)]),
        (b"PROXY TCP6 ::1 2001:DB8::2 65535 443\r\n", [("::1", 65535), ("2001:db8::2", 443)]),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 what ever\r\n", None),
        (binary(0x21, 0x11, IPV4), [("1.2.3.4", 5000), ("10.0.0.1", 80)]),
        (binary(0x21, 0x11, IPV4 + b"\x03\x00\x04abcd"), [("1.2.3.4", 5000), ("10.0.0.1", 80)]),
        (binary(0x21, 0x21, IPV6), [("::1", 5000), ("::2", 80)]),
        (binary(0x20, 0x00, b""), None),
        (binary(0x20, 0x11, IPV4), None),
        (binary(0x21, 0x00, b"whatever"), None),
        (binary(0x21, 0x12, IPV4), None),
    ],
)
def test_headers(data, addresses):
    """Both versions name client and server, or nobody."""
    assert shown(data) == addresses
    for cut in range(len(data)):
        assert read_header(data[:cut]) is None


def test_a_unix_socket():
    """Its addresses have no host."""
    header = read_header(binary(0x21, 0x31, bytes(216)))
    assert (header.client.name, header.length) == (None, 232)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\r\n\r\nX",
        b"PROXY TCP4 1.2.3.4 10.0.0.1 5000\r\n",
        b"PROXY TCP4 1.2.3.4 10.0.0.1 5000 80 1\r\n",
        b"PROXY TCP4 ::1 ::2 5000 80\r\n",
        b"PROXY TCP4 a b 5000 80\r\n",
        b'PROXY TCP6 ::1%\x1b" ::1 5000 80\r\n',
        b"PROXY TCP4 1.2.3.4 10.0.0.1 5000 65536\r\n",
        b"PROXY TCP4 1.2.3.4 10.0.0.1 -1 80\r\n",
        b"PROXY TCP9 1.2.3.4 10.0.0.1 1 80\r\n",
        b"PROXY  TCP4 1.2.3.4 10.0.0.1 1 80\r\n",
        b"PROXY " + b"x" * 200,
        binary(0x11, 0x11, IPV4),
        binary(0x22, 0x11, IPV4),
        binary(0x21, 0x11, IPV4[:-1]),
        binary(0x21, 0x31, bytes(215)),
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_what_is_no_header(data):
    """It is refused as soon as that is known."""
    with pytest.raises(ProxyHeaderError):
        read_header(data)
