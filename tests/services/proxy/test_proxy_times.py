"""Members that are too slow, and clusters in which nobody can be asked."""

import pytest

from skitai.errors import ConfigError

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    ("times", "sent", "named"),
    [
        ("silence_timeout = 0.1", b"", b"silence_timeout in [http] or [@up]"),
        ("head_timeout = 0.1", b"HTTP/1.1 200 OK\r\nX-A: ", b"head_timeout in [http] or [@up]"),
    ],
)
@pytest.mark.parametrize("section", ["up", "http"])
def test_too_slow(proxy, member, times, sent, named, section):
    """A member that sends no head in time is a 504, which names the limit."""
    server = proxy(member, **{section: times})
    with server.client() as client:
        client.send(GET)
        connection = member.accept()
        connection.answer(sent)
        response = client.response()
        assert response.code == 504
        assert named in response.body
        assert connection.at_end()
    assert server.counts()["504"] == 1


def test_silence_within_a_reply(proxy, member):
    """A member that falls silent in the middle of a reply has the client's connection cut."""
    with proxy(member, up="silence_timeout = 0.1\nhead_timeout = 20").client() as client:
        client.send(GET)
        member.accept().answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        response = client.response()
        assert (response.body, response.complete) == (b"abc", False)


def test_nobody_may_be_asked(proxy, member):
    """Where too many wait for the members, the answer is a 503."""
    server = proxy(member, http="connections_per_host = 1\nwaiting_per_host = 0")
    with server.client() as client:
        client.send(GET)
        connection = member.accept()
        connection.request()
        response = server.ask("/")
        assert (response.code, response["Retry-After"]) == (503, "1")
        assert b"waiting_per_host in [http]" in response.body
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert client.response().body == b"ok"


@pytest.mark.parametrize("key", ["connect_timeout", "head_timeout", "silence_timeout"])
def test_wrong_times(proxy, member, key):
    """A wrong value is named with its key."""
    with pytest.raises(ConfigError, match=rf"\[@up\] {key}: "):
        proxy(member, up=f"{key} = soon")
