"""Commands come over a Unix socket."""

import os
import socket
import stat
import threading

import pytest

from skitai.daemon.skitaid.control import Control, NotRunningError, ask


@pytest.fixture
def control(tmp_path):
    """A socket that answers each command by what it was."""
    control = Control(tmp_path / "s.sock", lambda command: {"got": command})
    yield control, tmp_path / "s.sock"
    control.close()


def answer(control, count=1):
    def serve():
        control._listening.settimeout(10)
        for _ in range(count):
            control.serve()

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_ask(control):
    """A command is answered; the socket is for its user alone, and gone in the end."""
    control, path = control
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    serving = answer(control)
    assert ask(path, "restart", "one") == {"got": {"do": "restart", "name": "one"}}
    serving.join()
    control.close()
    assert not path.exists()


@pytest.mark.parametrize("data", [b"what\n", b"[]\n", b"\n", b""])
def test_no_command(control, data):
    """Other words are refused, and the next command is answered."""
    control, path = control
    serving = answer(control, 2)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000) == b'{"error": "this is no command"}\n'
    assert ask(path, "status")["got"]["do"] == "status"
    serving.join()


def test_nobody_there(tmp_path, monkeypatch):
    """Without a skitaid, or with one that was killed, the client is told so; the next one takes its place."""
    path = tmp_path / "s.sock"
    with pytest.raises(NotRunningError, match="skitaid is not running"):
        ask(path, "status")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(NotRunningError, match="skitaid is not running"):
        ask(path, "status")
    control = Control(path, lambda command: {})
    serving = answer(control)
    assert ask(path, "status") == {}
    serving.join()
    control.close()
    assert os.listdir(tmp_path) == []
