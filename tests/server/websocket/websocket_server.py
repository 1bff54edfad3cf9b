"""A whole server in this process whose apps take websockets, and clients for it."""

import os
from struct import pack
from types import SimpleNamespace

from twisted.logger import formatEvent, globalLogPublisher
from websockets.sync.client import connect

from instances import RunningInstance, make_instance
from serving import eventually
from skitai.server.websocket import plugin
from wire import PATIENCE, Client

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}

#: What the code of apps, which is in files, shares with the tests: ``gates`` and ``runs``.
shared = SimpleNamespace()


class WebSocketServer(RunningInstance):
    """An instance with the plugin ``websocket``; ``opened`` is an ExitStack for its clients."""

    def __init__(self, loop, path, opened, **plugins):
        self.log = []
        self._opened = opened
        self._stopped = False
        globalLogPublisher.addObserver(self.log.append)
        super().__init__(loop, loop.call(make_instance, loop.reactor, path, websocket=plugin, **plugins))

    def url(self, path="/", host="127.0.0.1"):
        """Return the URL of a websocket."""
        scheme = self.instance.urls[0].partition(":")[0].replace("http", "ws")
        return f"{scheme}://{host}:{self.port}{path}"

    def connect(self, path="/", **options):
        """Return a client of the library ``websockets``, connected; it is closed at the end of the test."""
        options = {"open_timeout": PATIENCE, "compression": None, **options}
        return self._opened.enter_context(connect(self.url(path), **options))

    def handshake(self, path="/", method="GET", host="localhost", **fields):
        """Send a handshake; return the client and the response. A field that is None is left out."""
        client = self._opened.enter_context(Client(self.port))
        sent = {**HANDSHAKE, **{name.replace("_", "-"): value for name, value in fields.items()}}
        chosen = [(name, value) for name, value in sent.items() if value is not None]
        return client, client.ask(path, method, chosen, host=host)

    @property
    def statistics(self):
        """What the status page shows of websockets."""
        return self.loop.call(lambda: plugin.skitai_status(self.instance)["Websockets"])

    def idle(self):
        """Wait until no websocket is open and nothing runs for one."""

        def is_idle():
            found = self.statistics
            return not (found["open"] or found["views"] or found["threads"])

        eventually(is_idle, "the end of all websockets")

    @property
    def failures(self):
        """The tracebacks that were logged."""
        return [event["log_failure"].getTraceback() for event in self.log if "log_failure" in event]

    @property
    def messages(self):
        """The lines that were logged."""
        return [formatEvent(event) for event in list(self.log)]

    def stop(self):
        """Stop the server, once."""
        if not self._stopped:
            self._stopped = True
            super().stop()
            globalLogPublisher.removeObserver(self.log.append)


def handshake_head(path):
    """Return a handshake as text."""
    fields = {"Host": "localhost", **HANDSHAKE}
    return "".join(
        [f"GET {path} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in fields.items()), "\r\n"]
    )


def frame(message, first=None):
    """Return a message as a client sends it, in one masked frame."""
    payload = message.encode() if isinstance(message, str) else message
    first = first or (0x81 if isinstance(message, str) else 0x82)
    assert len(payload) < 65536
    size = (
        pack("!BB", first, 128 | len(payload))
        if len(payload) < 126
        else pack("!BBH", first, 254, len(payload))
    )
    key = os.urandom(4)
    return size + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


def read_text(client):
    """Return the next message to a ``Client``: a short text in one frame."""
    first, length = client.read(2)
    assert first == 0x81
    return client.read(length).decode()
