"""Servers that break the rules: each costs its own message only, and what it has sent is no reply."""

import pytest
from ws_servers import RawServer, switching

from skitai import was
from skitai.errors import UnsentError

ANSWER = b"\x81\x02ok"


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (lambda accept: switching(b"no" + accept[2:]), 708, "the reply has a wrong Sec-WebSocket-Accept"),
        (lambda accept: switching(accept, upgrade=b"h2c"), 708, "the reply lacks Upgrade: websocket"),
        (
            lambda accept: switching(accept, b"Sec-WebSocket-Protocol: chat"),
            708,
            "the reply has a subprotocol that was not asked for: chat",
        ),
        (
            lambda accept: switching(accept, b"Sec-WebSocket-Extensions: permessage-deflate"),
            708,
            "the reply has an extension that was not asked for: permessage-deflate",
        ),
        (lambda accept: switching(accept) + b"\x81\x02hi", 708, "does not wait for a message"),
        (lambda accept: switching(accept) + b"\x88\x02\x03\xe8", 708, "does not wait for a message"),
        (lambda accept: switching(accept) + b"\x89\x00\x82\x00", 708, "does not wait for a message"),
        (lambda accept: b"SSH-2.0-OpenSSH\r\n", 708, "bad reply"),
    ],
)
def test_handshakes(run, reply, code, words):
    """A wrong handshake opens no websocket, and no byte of the message is sent."""
    with RawServer(reply, ANSWER) as server:
        result = run(lambda: was.ws(server.url, "secret").getwait(20))
        assert (result.status, result.code) == (2, code)
        assert words in result.msg
        assert isinstance(result.error, UnsentError)
        assert server.over.wait(20)
    assert b"secret" not in unmasked(server.received)


def test_a_connection_that_ends_in_the_handshake(run):
    """Another member of a cluster may be asked: the message was not sent."""
    with RawServer(lambda accept: b"HTTP/1.1 101 Sw", close=True) as server:
        result = run(lambda: was.ws(server.url, "a").getwait(20))
    assert (result.status, result.code) == (2, 700)
    assert result.msg.endswith("closed the connection in the middle of the reply")
    assert isinstance(result.error, UnsentError)


@pytest.mark.parametrize(
    ("answer", "data"),
    [
        (ANSWER, "ok"),
        (b"\x01\x01o\x80\x01k", "ok"),
        (b"\x89\x01p\x02\x01o\x8a\x00\x80\x01k", b"ok"),
    ],
)
def test_replies(run, answer, data):
    """Fragments are one message, and control frames none."""
    with RawServer(switching, answer) as server:
        assert run(lambda: was.ws(server.url, "a").getwait(20)).data == data


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"\x81\x82abcdok", 1002),
        (b"\xc1\x02ok", 1002),
        (b"\x83\x00", 1002),
        (b"\x80\x00", 1002),
        (b"\x81\x01\xff", 1007),
        (b"\x82\x7f" + (1 << 40).to_bytes(8, "big"), 1009),
        (b"\x88\x02\x0f\xa0", 4000),
        (b"\x88\x00", 1005),
    ],
)
def test_what_is_no_reply(run, answer, code):
    """The failed result has the close code, and the websocket is not used again."""
    with RawServer(switching, answer) as server:
        result = run(lambda: was.ws(server.url, "a").getwait(20))
        assert (result.status, result.code, result.error.close_code) == (2, 700, code)
        assert f"({code}" in result.msg
        assert server.over.wait(20)


def test_a_reply_too_many(run):
    """A second message behind the reply ends the websocket: it would answer the next message."""
    with RawServer(switching, ANSWER + b"\x81\x04more") as server:
        assert run(lambda: was.ws(server.url, "a").getwait(20)).data == "ok"
        assert server.over.wait(20)
    assert b"\x88" in server.received


def unmasked(data):
    """Return the payload of one masked frame; empty for anything else."""
    key, payload = data[2:6], data[6:]
    return bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
