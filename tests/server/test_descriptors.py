"""A process that has no descriptor left: clients are told what can be told, and the log says what it is."""

import contextlib
import os
import resource
import select
import socket
import tempfile

import pytest
from twisted.logger import capturedLogs, formatEvent

from serving import FIXTURE_APPS, eventually
from skitai.net.exhaustion import AGAIN_SECONDS, Refusals
from skitai.server.request.body import no_temporary_folder
from wire import PATIENCE, Client

BODY = b"x" * 1_000_000


@pytest.fixture(scope="module")
def server(running_server, threads):
    """A server of its own."""
    return running_server({"/": f"{FIXTURE_APPS}/echo:environ"}, threads=threads)


@contextlib.contextmanager
def no_descriptor_left(process):
    """Lower the limit of a process to the descriptors that it has; it has the first numbers in use."""
    used = {int(name) for name in os.listdir(f"/proc/{process}/fd")}
    free = next(number for number in range(len(used) + 1) if number not in used)
    before = resource.prlimit(process, resource.RLIMIT_NOFILE)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_NOFILE, before)


def connected(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)


def is_served(server):
    """Whether a request is answered; the turn in which others are refused may take it along."""
    with contextlib.suppress(ConnectionError), Client(server.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        return client.read(12) == b"HTTP/1.1 200"
    return False


def test_a_body_that_needs_a_file(server):
    """It is 503 (RFC 9110, 15.6.4); the log has the reason, not that no folder was found for the file."""
    with connected(server) as client, Client(server.port) as another:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (2 * len(BODY)))
        client.sendall(BODY[:1000])
        assert another.ask("/").code == 200  # both connections have their descriptors by now
        with no_descriptor_left(server.process.pid):
            client.sendall(BODY)
            assert client.recv(12) == b"HTTP/1.1 503"
        eventually(lambda: "of this process are used" in server.log_text(), "the reason in the log")
    assert "No usable temporary directory" not in server.log_text()


def test_connections_are_refused_and_that_is_said_once(server):
    """Each is closed at once, not left to wait; one line says which limit it is, for all of them."""
    with contextlib.ExitStack() as open_ones, no_descriptor_left(server.process.pid):
        clients = [open_ones.enter_context(connected(server)) for _ in range(20)]
        eventually(lambda: len(select.select(clients, [], [], 0)[0]) >= 10, "the end of most of them")
        for client in select.select(clients, [], [], 0)[0]:
            with contextlib.suppress(ConnectionError):
                assert client.recv(1000) == b""
        eventually(lambda: "refused: all " in server.log_text(), "the line in the log")
    eventually(lambda: is_served(server), "an answer")
    text = server.log_text()
    (line,) = [line for line in text.splitlines() if "refused: all " in line]
    assert "[warning]" in line
    assert "LimitNOFILE" in line
    assert "EMFILE" not in text


def test_what_is_said_when():
    """The first is told at once, further ones once a minute with their number; other events are passed on."""
    told = []
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    refusals._refused, tell = lambda reason: told.append(reason), refusals._refused
    refusals({"log_format": "EMFILE encountered; releasing reserved file descriptor."})
    refusals({"log_format": "EMFILE recovery: Closed socket from {address}", "address": ("1.2.3.4", 5)})
    refusals({"log_format": "Could not accept new connection ({acceptError})", "acceptError": "ENFILE"})
    assert [text.partition(" ")[0] for text in told] == ["all", "the"]
    assert "ENFILE" in told[1]
    with capturedLogs() as events:
        for second in (0, 1, 2, AGAIN_SECONDS - 1, AGAIN_SECONDS):
            now[0] = second
            tell("because")
        refusals({"log_format": "something else"})
    assert [formatEvent(event) for event in events] == [
        "a connection was refused: because",
        "4 connections were refused: because",
        "something else",
    ]


def test_no_folder_for_temporary_files(monkeypatch):
    """That is found at the start, and is told to who starts the server."""
    assert no_temporary_folder() == ""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere/at/all"])
    assert "beyond 512 KB are refused: No usable temporary directory found" in no_temporary_folder()
