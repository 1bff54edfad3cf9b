"""``python -m skitai.daemon.hub DESCRIPTOR SUPERVISOR``: the hub of the rooms of one server.

DESCRIPTOR is a Unix socket that listens, SUPERVISOR the id of the process that has started this one. It ends
with that.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Sequence
from time import monotonic

from skitai.messaging.hub import Hub
from skitai.net.ports import port_on
from skitai.net.sockets import Opened
from skitai.processes.family import end_with_parent


def main(words: Sequence[str]) -> None:
    """Serve until a signal ends the process."""
    from twisted.internet import reactor

    descriptor, supervisor = map(int, words)
    end_with_parent(supervisor, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is meant for the supervisor, which ends this
    listening = socket.socket(fileno=descriptor)
    listening.setblocking(False)
    port_on(reactor, Opened(listening, tls=False), Hub(monotonic), None)
    # A signal ends it at once, because nothing would be lost: a second one finds no reactor that is stopping.
    reactor.callWhenRunning(signal.signal, signal.SIGTERM, signal.SIG_DFL)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
