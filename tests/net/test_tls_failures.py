"""What is said of handshakes that fail."""

from ssl import SSLCertVerificationError, SSLError
from types import SimpleNamespace

import pytest
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from skitai.net.tls_failures import HandshakeFailures

HERE = SimpleNamespace(host="10.0.0.1")


def plain(reason="HTTP_REQUEST"):
    error = SSLError(1, "http request")
    error.reason = reason
    return error


def refused(why):
    error = SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = why
    return error


@pytest.fixture
def said():
    """Tell of an error with ``said(error, peer, after=SECONDS)``: it returns the lines of the log."""
    clock, lines = Clock(), []
    failures = HandshakeFailures(clock.seconds)

    def note(event):
        lines.append(formatEvent(event))

    def tell(error, peer=HERE, after=0):
        clock.advance(after)
        lines.clear()
        failures.tell(error, peer)
        return list(lines)

    globalLogPublisher.addObserver(note)
    yield tell
    globalLogPublisher.removeObserver(note)


def test_certificates(said):
    """The log says whose certificate is refused, why, and by which key."""
    assert said(refused("certificate has expired")) == [
        "no TLS with 10.0.0.1: its certificate is refused: certificate has expired (client_ca in [server])"
    ]
    assert said(refused("self-signed"), SimpleNamespace(name=b"")) == [
        "no TLS with a Unix socket: its certificate is refused: self-signed (client_ca in [server])"
    ]


@pytest.mark.parametrize("reason", ["HTTP_REQUEST", "HTTPS_PROXY_REQUEST"])
def test_plain(said, reason):
    """So does it of HTTP without TLS; of what is neither there is nothing to say."""
    assert said(plain(reason)) == ["no TLS with 10.0.0.1: it sends HTTP where HTTPS is expected"]
    assert said(plain(), SimpleNamespace(host="::ffff:10.0.0.9"))[0].startswith("no TLS with 10.0.0.9:")
    assert said(plain("WRONG_VERSION_NUMBER")) == []


def test_once_a_minute(said):
    """The same of the same client is said once a minute, however often it comes."""
    assert said(plain())
    assert said(plain(), after=59) == []
    assert said(plain(), SimpleNamespace(host="10.0.0.2"))
    assert said(plain(), after=2)


def test_many_clients(said):
    """Many clients take no memory for ever."""
    for number in range(1000):
        assert said(plain(), SimpleNamespace(host=f"10.0.1.{number}"))
    assert said(plain(), SimpleNamespace(host="10.0.1.999")) == []
    assert said(plain())
    assert said(plain(), SimpleNamespace(host="10.0.1.999"))
