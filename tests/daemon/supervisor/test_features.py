"""What a server with several workers has beside its workers: TLS, a service manager, another user."""

import os
import shutil
import signal
import socket
import ssl

import pytest

from certificates import Identity
from processes import passing
from serving import eventually
from supervised import children
from wire import PATIENCE, Client, ask


def test_sessions_of_tls(served):
    """A session that one worker began is resumed by all others."""
    identity = Identity("localhost")
    config = served.write("listen = 127.0.0.1:0 ssl\nprocesses = 4\ncertfile = cert.pem\nkeyfile = key.pem")
    (config.parent / "cert.pem").write_bytes(identity.pem)
    (config.parent / "key.pem").write_bytes(identity.key_pem())
    server = served.running(config)
    context = ssl.create_default_context(cadata=identity.pem.decode())

    def connect(session):
        plain = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        secure = context.wrap_socket(plain, server_hostname="localhost", session=session)
        secure.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        text = secure.recv(10_000)
        return secure, text.rpartition(b"\r\n")[2]

    first, worker = connect(None)
    others = [connect(first.session) for _ in range(7)]  # each worker has two, as nobody leaves
    assert len({worker, *(answer for _, answer in others)}) == 4
    assert [secure.session_reused for secure, _ in others] == [True] * 7
    for secure in (first, *(other for other, _ in others)):
        secure.close()


def test_service_manager(served, tmp_path):
    """systemd is told when all workers serve, of each reload, that nothing hangs, and of the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        config = served.write("port = 0\nprocesses = 2")
        server = served.running(config, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="2000000")
        said = []

        def hear(word):
            while not said or word not in said[-1]:
                said.append(manager.recv(1000).decode())

        hear("READY=1\nSTATUS=2 workers serve")
        hear("WATCHDOG=1")
        server.signal(signal.SIGHUP)
        hear("RELOADING=1")
        hear("READY=1")
        server.write("port = x")
        server.signal(signal.SIGHUP)
        hear("RELOADING=1")
        hear("READY=1\nSTATUS=the last reload was refused")
        server.signal(signal.SIGTERM)
        hear("STOPPING=1")
        assert server.ends() == 0


def test_sockets_from_systemd(served):
    """Sockets that the service manager has opened are served, and stay open at a reload."""
    config = served.write("port = 1\nprocesses = 2")
    with socket.create_server(("127.0.0.1", 0)) as passed:
        server = served.running(config, **passing(passed))
        assert server.port == passed.getsockname()[1]
    server.reload()
    assert server.ask("/").code == 200


def test_unix_socket(served, tmp_path):
    """A Unix socket is one for all workers, also after a reload; its file goes with the server."""
    path = tmp_path / "site.sock"
    server = served(f"listen = 127.0.0.1:0, unix:{path}\nprocesses = 2")
    assert ask(str(path), "/").code == 200
    server.reload()
    assert ask(str(path), "/").code == 200
    server.signal(signal.SIGTERM)
    assert server.ends() == 0
    assert not path.exists()


def test_preload(served):
    """Apps are loaded once, or with ``preload = no`` in each worker; a thread that would be lost is named."""
    counted = "import os, threading\nopen('loads', 'a').write(f'{os.getpid()}\\n')\n"
    thread = "threading.Thread(target=threading.Event().wait, daemon=True, name='ticker').start()\n"
    config = served.write("port = 0\nprocesses = 3")
    app = config.parent / "served.py"
    app.write_text(counted + thread + app.read_text())
    server = served.running(config)
    loads = config.parent / "loads"
    assert len(loads.read_text().split()) == 1
    assert "are not there in the workers: ticker" in server.log_text()
    loads.unlink()
    server.write("port = 0\nprocesses = 3\npreload = no")
    server.reload()
    assert len(set(loads.read_text().split())) == 3


def test_cooperative(served):
    """Greenlets that wait for anything wait in each worker on its own."""
    pytest.importorskip("gevent")
    server = served("port = 0\nprocesses = 2\ncooperative = yes\nworker_timeout = 2")
    clients = [Client(server.port) for _ in range(20)]
    for client in clients:
        client.send(b"GET /sleep?1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert {int(client.response().body) for client in clients} == server.workers()
    os.kill(sorted(server.workers())[0], signal.SIGKILL)
    server.said("it is replaced")
    eventually(lambda: len(server.workers()) == 2)
    for client in clients:
        client.close()
    server.signal(signal.SIGTERM)
    assert server.ends() == 0


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare(1)")
@pytest.mark.parametrize("count", [1, 2])
def test_in_a_container(served, count):
    """As the first process of a container it ends at SIGTERM, and reaps what others leave behind."""
    config = served.write(f"port = 0\nprocesses = {count}")
    app = config.parent / "served.py"
    orphan = "import subprocess\nsubprocess.run(['sh', '-c', 'sleep 0.2 &'])\n"
    app.write_text(orphan + app.read_text())
    server = served.running(config, launcher=["unshare", "--pid", "--fork", "--mount-proc"])
    (init,) = children(server.process.pid)
    assert server.ask("/").body.isdigit()
    eventually(lambda: len(children(init)) == 1, "the end of the orphan")
    os.kill(init, signal.SIGTERM)
    assert server.ends() == 0


def test_many_requests_leave_nothing_behind(served):
    """Descriptors are as many after thousands of requests and connections as before."""
    server = served("port = 0\nprocesses = 2")

    def descriptors():
        return {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in (*server.workers(), server.process.pid)}

    def use(times):
        for _ in range(times):
            with Client(server.port) as client:
                for _ in range(5):
                    client.ask("/")

    before = descriptors()
    use(500)
    eventually(lambda: descriptors() == before)
