"""Names of hosts that are no ASCII, in a handshake: what a hostile client sends."""

import ssl
import sys
from contextlib import suppress
from types import SimpleNamespace

from certificates import Identity, tls_of


def hello(name):
    """Return the first bytes of a client that asks for a name."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="x" * len(name))
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read().replace(b"x" * len(name), name)
    raise AssertionError


def answer(tls, name):
    """Return what such a client gets."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(hello(name))
    server = tls.wrap(incoming, outgoing)
    with suppress(ssl.SSLError):
        server.do_handshake()
    return outgoing.read()


def test_end_the_handshake_and_leave_no_trace(tmp_path, monkeypatch):
    """Nothing is written to stderr: whoever sends many of them would fill the log."""
    said = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    identity = Identity("a.org", "b.org")
    pem = tmp_path / "server.pem"
    pem.write_bytes(identity.pem + identity.key_pem())
    tls = tls_of(pem)
    tls.add(tls._default.loaded)
    assert answer(tls, b"b\xff\xfe.org") == b"\x15\x03\x03\x00\x02\x02\x50"
    assert answer(tls, b"b\xc3\xa4.org") == b"\x15\x03\x03\x00\x02\x02\x50"
    assert answer(tls, b"bcd.org")[:1] == b"\x16"
    assert said == []
    other = SimpleNamespace(exc_value=UnicodeDecodeError("ascii", b"x", 0, 1, ""), object=print)
    sys.unraisablehook(other)
    assert said == [other]
