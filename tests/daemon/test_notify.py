"""What systemd is told."""

import os
import socket

import pytest

from skitai.daemon.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """Return the address of a service manager, and its socket."""
    name = str(tmp_path / "notify") if request.param == "path" else f"\0skitai-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name)
        receiver.settimeout(5)
        yield name.replace("\0", "@"), receiver


def test_states(manager):
    """Each state is one datagram; children are told nothing of the manager."""
    address, receiver = manager
    environ = {
        "NOTIFY_SOCKET": address,
        "WATCHDOG_USEC": "3000000",
        "WATCHDOG_PID": str(os.getpid()),
        "A": "b",
    }
    notifier = Notifier(environ)
    assert environ == {"A": "b"}
    assert notifier.watchdog == 3
    notifier.ready("3 workers serve")
    notifier.alive()
    notifier.reloading()
    notifier.stopping()
    said = [receiver.recv(1000).decode() for _ in range(4)]
    assert said[:2] == ["READY=1\nSTATUS=3 workers serve", "WATCHDOG=1"]
    assert said[2].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert said[3] == "STOPPING=1"
    notifier.pass_on(environ)
    assert environ == {"A": "b", "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"}


def test_nobody():
    """Without a manager, or with one that is gone, nothing happens."""
    for environ in ({}, {"NOTIFY_SOCKET": "/nowhere"}, {"WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"}):
        notifier = Notifier(environ)
        notifier.ready("serving")
        notifier.alive()
        assert notifier.watchdog == 0
