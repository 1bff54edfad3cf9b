"""A server that gets more than it can do, over real sockets: in threads and in greenlets."""

import select
import socket
import time

import pytest
from overloading import APP, connect, held, release, row, send

from instances import make_instance
from serving import eventually
from skitai.errors import ConfigError


def test_what_waits_too_long_gets_503(overloaded):
    """It gets it when its time is over, and the app never sees it; the connection goes on."""
    server = overloaded()
    holding = held(server)
    began = time.monotonic()
    late = [send(server, "/late") for _ in range(3)]
    responses = [client.response() for client in late]
    assert time.monotonic() - began > 0.29
    for response in responses:
        assert response.status == "503 Service Unavailable"
        assert response["Retry-After"] == "1"
    assert (row(server)["late"], row(server)["queued"]) == (3, 0)
    assert release(server, holding) == [b"held"]
    late[0].send(b"GET /again HTTP/1.1\r\nHost: test\r\n\r\n")
    assert late[0].response().body == b"/again"
    assert b"/late" not in server.ask("/other/begun").body


def test_more_than_may_wait_get_503_at_once(overloaded):
    """Also at the head, before a body is sent; those that wait are served."""
    server = overloaded(options="queue_max=2", queue_timeout="off")
    holding = held(server)
    waiting = [send(server, "/a"), send(server, "/b")]
    eventually(lambda: row(server)["queued"] == 2)
    assert server.ask("/c").status == "503 Service Unavailable"
    upload = connect(server)
    upload.send(b"POST /d HTTP/1.1\r\nHost: test\r\nContent-Length: 9999\r\n\r\n")
    assert upload.response().status == "503 Service Unavailable"
    assert row(server)["refused"] == 2
    assert release(server, holding, *waiting) == [b"held", b"/a", b"/b"]


def test_ping_files_and_other_mounts_are_always_answered(overloaded):
    """The first two need no thread, and the mount has one of its own."""
    server = overloaded(queue_timeout="off")
    holding = held(server)
    waiting = [send(server, f"/{number}") for number in range(50)]
    eventually(lambda: row(server)["queued"] == 50)
    assert server.ask("/ping").body == b"pong"
    assert server.ask("/ready").status == "200 OK"
    assert server.ask("/files/page.txt").body == b"a file"
    assert server.ask("/other/").body == b"/"
    assert len(release(server, holding, *waiting)) == 51


def test_ping_and_files_have_their_turn_among_greenlets(overloaded):
    """They are answered between two requests that compute, not after all of them."""
    server = overloaded(0, queue_timeout="off")
    computing = [send(server, "/compute") for _ in range(30)]
    assert server.ask("/ping").body == b"pong"
    assert server.ask("/ready").status == "200 OK"
    assert server.ask("/files/page.txt").body == b"a file"
    assert select.select([computing[-1].socket], [], [], 0)[0] == []
    assert {client.response().body for client in computing} == {b"computed"}


def test_greenlets_that_do_not_keep_up(overloaded):
    """Requests that compute hold the only thread: those that wait too long for their turn get 503."""
    server = overloaded(0)
    sent = [send(server, "/compute") for _ in range(20)]
    assert {client.response().status for client in sent} == {"200 OK", "503 Service Unavailable"}
    assert server.ask("/").status == "200 OK"
    eventually(lambda: "requests of / wait too long" in server.log_text(), "the warning")


@pytest.mark.parametrize("reset", [True, False])
def test_a_request_whose_client_has_left_is_not_begun(overloaded, reset):
    """Whether it reset the connection or closed it; but what changes something is done."""
    server = overloaded(queue_timeout="10")
    holding = held(server)
    first = send(server, "/first")
    eventually(lambda: row(server)["queued"] == 1)
    for method in ("GET", "POST"):
        client = send(server, f"/{method.lower()}", method, b"x" if method == "POST" else b"")
        eventually(lambda method=method: row(server)["queued"] == 2, method)
        if reset:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        if method == "GET":
            eventually(lambda: row(server)["left"] == 1)
    assert release(server, holding, first) == [b"held", b"/first"]
    eventually(lambda: b"POST /post" in server.ask("/other/begun").body)
    assert b"GET /get" not in server.ask("/other/begun").body


def test_a_client_that_closes_its_half_is_answered(overloaded):
    """At once by a server that has time; with 503 by one that has not, and nothing is begun for it."""
    server = overloaded(queue_timeout="1.5")

    def answered():
        client = send(server, "/half")
        client.socket.shutdown(socket.SHUT_WR)
        return client.response().body == b"/half"

    eventually(answered, "an answer of a server that has time")
    before = row(server)["left"]
    holding = held(server)
    client = send(server, "/waits")
    client.socket.shutdown(socket.SHUT_WR)
    response = client.response()
    assert (response.status, response["Retry-After"]) == ("503 Service Unavailable", "2")
    assert row(server)["left"] == before + 1
    assert release(server, holding) == [b"held"]
    assert b"/waits" not in server.ask("/other/begun").body


def test_the_log_says_so_once(overloaded):
    """Not for each request."""
    server = overloaded()
    holding = held(server)
    late = [send(server, "/late") for _ in range(5)]
    assert {client.response().status for client in late} == {"503 Service Unavailable"}
    eventually(lambda: "the only thread of / is busy" in server.log_text(), "the warning")
    assert send(server, "/late").response().status == "503 Service Unavailable"
    assert release(server, holding) == [b"held"]
    assert server.log_text().count("the only thread of / is busy") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("queue_max=-1", "must be a whole number of at least 0"),
        ("queue_timeout=soon", "must be a number of seconds"),
    ],
)
def test_wrong_limits(reactor_thread, tmp_path, options, message):
    """They are errors of the config."""
    (tmp_path / "held.py").write_text(APP)
    file = tmp_path / "site.conf"
    file.write_text(f"[server]\n[routes:line]\n/ = ./held:app {options}")
    with pytest.raises(ConfigError, match=message):
        make_instance(reactor_thread.reactor, file)


def test_figures_of_each_mount(reactor_thread, tmp_path):
    """Metrics find the lines of all mounts, with the limits of the mount or else of the server."""
    (tmp_path / "held.py").write_text(APP)
    file = tmp_path / "site.conf"
    limits = "queue_max=5 queue_timeout=off"
    routes = f"/a = ./held:app {limits}\n/b = ./held:app threads=1 queue_max=off\n/c = ./held:app"
    file.write_text(f"[server]\nqueue_max = 7\nqueue_timeout = 2\n[routes:line]\n{routes}")
    instance = make_instance(reactor_thread.reactor, file)
    lines = {line.name: (line.most, line.timeout) for line in instance.executors.lines()}
    inf = float("inf")
    assert lines == {"/a": (5, inf), "/b": (inf, 2), "/c": (7, 2)}
    assert [row["queue_max"] for row in instance.executors.queues()] == [5, 7, None]
