"""Several workers as users run them: real processes, on real sockets."""

import json
import os
import random
import shutil
import signal
import socket
import time

import pytest

from serving import eventually
from supervised import Load, OneProcess, Supervised, is_alive, shares
from wire import Client

SERVING = "Skitai serves"
OTHER = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"other"]
"""


def is_refused(port):
    """Return whether nobody listens on ``port``."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_start(served):
    """One line says where the server serves; the workers share what was loaded, and apps know of them."""
    server = served()
    assert server.log_text().count(SERVING) == 1
    assert "with 3 workers" in server.log_text()
    assert len(server.workers()) == 3
    assert server.ask("/multiprocess").body == b"True"
    assert {server.pid() for _ in range(60)} <= server.workers()
    server.stop()
    assert server.process.returncode == 0
    assert "Traceback" not in server.log_text()


class TestDeaths:
    """Workers, or others, that are killed."""

    def test_under_load(self, served):
        """Only what was under way on the killed worker fails; it is replaced at once, with the reason."""
        server = served()
        load = Load(server.port, clients=6)
        deaths = 4
        for number in range(deaths):
            time.sleep(0.4)
            os.kill(random.choice(sorted(server.workers())), signal.SIGKILL)
            server.said("is gone: killed by SIGKILL; it is replaced", number + 1)
            eventually(lambda: len(server.workers()) == 3)
        load.has_answers(100)
        load.stop()
        # Each of the six clients has one request under way; each death can hit a part of them.
        assert sum(load.failures.values()) <= 6 * deaths
        assert set(load.answers) == {200}
        with Client(server.port) as client:
            assert client.ask("/").code == 200

    def test_a_stopped_worker(self, served):
        """Without a heartbeat it is killed and replaced; meanwhile the others take all new connections."""
        server = served("port = 0\nprocesses = 2\nworker_timeout = 1")
        victim = server.pid()
        os.kill(victim, signal.SIGSTOP)
        began = time.monotonic()
        assert {server.pid() for _ in range(20)}.isdisjoint({victim})
        server.said("it is stopped, or waits for the system")
        server.said("hangs: it is killed")
        assert time.monotonic() - began < 20
        eventually(lambda: victim not in server.workers() and len(server.workers()) == 2)

    def test_a_hung_worker(self, served):
        """The log has the stacks of its threads and greenlets before it is killed."""
        server = served("port = 0\nprocesses = 2\nworker_timeout = 1\nthreads = 0\nblocked_warning = off")
        with Client(server.port) as client:
            client.send(b"GET /sleep?60 HTTP/1.1\r\nHost: x\r\n\r\n")
            server.said("hangs: it is killed")
            assert client.at_end()
        text = server.log_text()
        stacks = text[text.index("gave no sign of life for 1 s; its threads were here:") :]
        assert 'served.py", line' in stacks[: stacks.index("it is killed")]
        assert server.ask("/").code == 200

    def test_the_supervisor(self, served):
        """No worker, and no nursery, outlives it, and a line says why; who comes next can listen at once."""
        server = served()
        alive = server.workers() | (nurseries := server.nurseries())
        assert len(alive) == 4
        late = server.pid()
        os.kill(late, signal.SIGSTOP)
        server.process.kill()
        server.process.wait()
        eventually(lambda: not any(map(is_alive, nurseries)), "the end of the nursery")
        os.kill(late, signal.SIGCONT)  # it hears of both ends at once
        eventually(lambda: not any(map(is_alive, alive)), "the end of the children")
        assert "[error] the supervisor is gone: worker " in server.log_text()
        assert "Traceback" not in server.log_text()
        socket.create_server(("127.0.0.1", server.port)).close()

    def test_the_nursery(self, served):
        """If it is killed, another one is started, and nobody is refused meanwhile."""
        server = served()
        before = server.workers()
        (nursery,) = server.nurseries()
        os.kill(nursery, signal.SIGKILL)
        assert server.ask("/").code == 200
        server.said(SERVING, 2)
        assert server.workers().isdisjoint(before)
        eventually(lambda: not any(map(is_alive, before)))
        assert len(server.workers()) == 3


class TestReload:
    """SIGHUP."""

    def test_under_load(self, served):
        """No request is refused, reset or dropped, and the workers are others then."""
        server = served()
        before = server.workers()
        load = Load(server.port)
        for _ in range(2):
            server.reload()
        load.has_answers(100)
        load.stop()
        assert (dict(load.failures), set(load.answers)) == ({}, {200})
        eventually(lambda: not any(map(is_alive, before)))
        eventually(lambda: (len(server.workers()), len(server.nurseries())) == (3, 1))

    def test_new_code_and_config(self, served):
        """Both are read again: apps, the number of workers, and the addresses to listen on."""
        server = served()
        (server.folder / "other.py").write_text(OTHER)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        former = server.port
        server.write(f"port = {port}\nprocesses = 2", "/ = ./other:app")
        server.reload()
        server.port = port
        assert server.ask("/").body == b"other"
        eventually(lambda: len(server.workers()) == 2)
        eventually(lambda: is_refused(former), "the end of the former port")

    @pytest.mark.parametrize("preload", ["yes", "no"])
    def test_broken(self, served, preload):
        """With a broken config, or a broken app, the workers of before go on, and the log names the error."""
        keys = f"port = 0\nprocesses = 2\npreload = {preload}"
        server = served(keys)
        before = server.workers()
        server.write("port = 0\nprocesses = x")
        server.signal(signal.SIGHUP)
        server.said("site.conf:6: [server] processes: must be a whole number of at least 1, not 'x'")
        server.write(keys)
        app = server.folder / "served.py"
        good = app.read_text()
        app.write_text("import nosuch\n")
        load = Load(server.port, clients=2)
        server.signal(signal.SIGHUP)
        server.said("the workers of before go on: cannot load", 1)
        server.said("No module named 'nosuch'")
        eventually(lambda: server.workers() == before)
        assert load.stop() > 0
        assert (dict(load.failures), set(load.answers)) == ({}, {200})
        app.write_text(good)
        server.reload()
        eventually(lambda: server.workers().isdisjoint(before) and len(server.workers()) == 2)

    def test_current(self, served, tmp_path):
        """A release behind a symbolic link is found anew."""
        config = served.write("port = 0\nprocesses = 2", "/ = ./served:app")
        releases = [tmp_path / "one", tmp_path / "two"]
        for release in releases:
            release.mkdir()
            shutil.copy(config, release)
            text = (tmp_path / "served.py").read_text()
            (release / "served.py").write_text(text.replace("str(os.getpid())", repr(release.name)))
        current = tmp_path / "current"
        current.symlink_to("one")
        server = served.running("site.conf", cwd=current, PWD=str(current))
        assert server.ask("/").body == b"one"
        current.unlink()
        current.symlink_to("two")
        shutil.rmtree(releases[0])
        server.reload()
        # A worker that is told to go may take one more connection.
        eventually(lambda: server.ask("/").body == b"two")

    def test_asked_by_an_app(self, served):
        """``was.restart()`` replaces all workers, after the request that asks."""
        server = served("port = 0\nprocesses = 2")
        before = server.workers()
        assert server.ask("/restart").code == 200
        server.said(SERVING, 2)
        eventually(lambda: server.workers().isdisjoint(before) and len(server.workers()) == 2)


class TestStop:
    """SIGTERM and others."""

    def test_in_good_order(self, served):
        """What is under way is answered, and no new connection is taken."""
        server = served()
        with Client(server.port) as busy, Client(server.port) as idle:
            assert idle.ask("/").code == 200
            busy.send(b"GET /sleep?1 HTTP/1.1\r\nHost: x\r\n\r\n")
            eventually(lambda: server.ask("/").code == 200)  # so the other request has arrived, too
            server.signal(signal.SIGTERM)
            server.said("the server stops")
            eventually(lambda: idle.ask("/")["Connection"] == "close")
            response = busy.response()
            assert (response.code, response["Connection"]) == (200, "close")
        assert server.ends() == 0
        assert not server.workers()

    @pytest.mark.parametrize("fields", [(), [("Connection", "close")]], ids=["kept", "new"])
    @pytest.mark.parametrize("processes", [1, 3])
    def test_under_load(self, served, processes, fields):
        """Each request whose connection was accepted is answered; those who come later are refused."""
        kind = OneProcess if processes == 1 else Supervised
        server = served(f"port = 0\nprocesses = {processes}", kind=kind)
        load = Load(server.port, clients=8, fields=fields)
        load.has_answers(100)
        server.signal(signal.SIGTERM)
        assert server.ends() == (0 if processes > 1 else -signal.SIGTERM)
        load.stop()
        assert set(load.answers) == {200}
        assert all(reason.startswith("new: ConnectionRefusedError") for reason in load.failures)

    @pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT], ids=lambda number: number.name)
    def test_at_once(self, served, number):
        """SIGQUIT, and a second signal, wait for nobody."""
        server = served()
        with Client(server.port) as client:
            client.send(b"GET /sleep?30 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert server.ask("/").code == 200
            server.signal(number)
            server.said("the server stops")
            if number == signal.SIGINT:
                server.signal(number)
            assert server.ends(10) == 0
            assert client.at_end()

    def test_asked_by_an_app(self, served):
        """``was.shutdown()`` ends the server, after the request that asks."""
        server = served()
        assert server.ask("/shutdown").code == 200
        assert server.ends() == 0


def test_fast_end_asked_by_an_app(served):
    """``was.shutdown(fast=True)`` leaves the requests of all workers one second."""
    server = served("port = 0\nprocesses = 2\nthreads = 4")
    clients = [Client(server.port) for _ in range(4)]
    for client in clients:
        client.send(b"GET /sleep?20 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert server.ask("/shutdown?fast").code == 200
    began = time.monotonic()
    assert server.ends() == 0
    assert time.monotonic() - began < 10
    for client in clients:
        assert client.at_end()
        client.close()


def test_more_and_fewer(served):
    """SIGTTIN adds a worker, SIGTTOU ends one."""
    server = served("port = 0\nprocesses = 2")
    server.signal(signal.SIGTTIN)
    eventually(lambda: len(server.workers()) == 3)
    for count in (2, 1, 1):
        server.signal(signal.SIGTTOU)
        server.said(f"there are to be {count} workers")
        time.sleep(0.01)  # for the last time it says the same
    eventually(lambda: len(server.workers()) == 1)
    assert server.ask("/").code == 200


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("processes = 2\nport = x", "site.conf:6: [server] port: must be"),
        ("processes = 2\nport = {taken}", "site.conf:6: [server] port: 127.0.0.1:{taken} is in use"),
        ("processes = 2\nuser = nosuch-user", "site.conf:6: [server] user: there is no user nosuch-user"),
    ],
    ids=["config", "port", "user"],
)
def test_cannot_start(start_broken, keys, words):
    """One line says why, and the exit status is 2."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        status, output, errors = start_broken(keys.format(taken=taken))
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert words.format(taken=taken) in errors


def test_even_load(served):
    """Few connections, and many at once, are shared out evenly."""
    server = served("port = 0\nprocesses = 4")
    for count, pauses in ((8, (0, 1.5, 1.5)), (200, (1.5, 1.5, 1.5))):
        for pause in pauses:  # on a busy machine, one that gets no processor leaves its share to the others
            time.sleep(pause)  # so that the next ones find the same number everywhere
            found = shares(server.port, count)
            if len(found) == 4 and found[0] >= count / 4 * 0.8:
                break
        else:
            pytest.fail(f"{count} connections are shared out so: {found}")


def test_max_requests(served):
    """A worker that has answered so many is replaced, and no request fails."""
    server = served("port = 0\nprocesses = 2\nmax_requests = 200")
    load = Load(server.port, clients=4)
    server.said("is replaced after", 3)
    load.stop()
    assert (dict(load.failures), set(load.answers)) == ({}, {200})
    eventually(lambda: len(server.workers()) == 2)


def test_status(served):
    """The status page of any worker shows all of them."""
    server = served("port = 0\nprocesses = 2")
    eventually(lambda: len(json.loads(server.ask("/status").body)["Workers"]) == 2)
    rows = json.loads(server.ask("/status").body)["Workers"]
    assert {row["process"] for row in rows} == server.workers()
    assert {(row["state"], row["generation"]) for row in rows} == {("ready", 1)}
    assert sum(row["connections"] for row in rows) >= 1  # the last one may not be counted out yet


def test_logs_that_are_moved_away(served):
    """At SIGUSR1 all processes go on in new files."""
    server = served("port = 0\nprocesses = 2\napp_log = app.log")
    config = server.folder / "site.conf"
    config.write_text(config.read_text().replace("access_log = off", "access_log = access.log"))
    before = server.workers()
    server.reload()
    eventually(lambda: server.workers().isdisjoint(before))
    logs = [(server.folder / "app.log", "said"), (server.folder / "access.log", "GET /log")]

    def ask_all():
        clients = [Client(server.port) for _ in range(8)]  # all workers have some of them
        for client in clients:
            client.ask("/log")
        for client in clients:
            client.close()
        eventually(lambda: [log.read_text().count(word) for log, word in logs] == [8, 8])

    ask_all()
    for log, _ in logs:
        log.rename(f"{log}.1")
    server.signal(signal.SIGUSR1)
    server.said("the logs were opened anew")
    eventually(lambda: all(log.exists() for log, _ in logs))
    time.sleep(0.3)  # so that the other worker has done so, too
    ask_all()
