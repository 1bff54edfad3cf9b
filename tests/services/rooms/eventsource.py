"""A reader of server-sent events, as the HTML standard has it (section 9.2.6)."""

from dataclasses import dataclass

from wire import Client


@dataclass
class Event:
    data: str
    id: str = ""
    type: str = "message"


class Parser:
    """Turns the bytes of a stream into events; ``last_id`` and ``retry`` are what a browser would keep."""

    def __init__(self):
        self.last_id = ""
        self.retry = None
        self.comments = 0
        self._rest = b""
        self._data, self._type, self._id = [], "", ""

    def feed(self, data):
        """Return the events that are complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        events = []
        for line in lines:
            assert b"\r" not in line
            if line:
                self._field(*line.decode().partition(":")[::2])
                continue
            self.last_id = self._id
            if self._data:
                events.append(Event("\n".join(self._data), self._id, self._type or "message"))
            self._data, self._type = [], ""
        return events

    def _field(self, name, value):
        value = value.removeprefix(" ")
        if not name:
            self.comments += 1
        elif name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id":
            assert "\0" not in value
            self._id = value
        elif name == "retry":
            self.retry = int(value)
        else:
            raise AssertionError(f"not a field of the standard: {name}")


class EventSource(Parser):
    """Reads events from a server."""

    def __init__(self, port, target, fields=(), last_id=None, **options):
        super().__init__()
        self.client = Client(port, **options)
        fields = [*fields, *([("Last-Event-ID", last_id)] if last_id is not None else [])]
        lines = [f"GET {target} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in fields)]
        self.client.send("\r\n".join([*lines, "", ""]).encode())
        self.response = self.client.read_head()
        self._events = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    def until(self, condition):
        """Read until ``condition()`` is true."""
        while not condition():
            chunk = self.client.read_chunk()
            assert chunk, "the stream has ended"
            self._events += self.feed(chunk)

    def opened(self):
        """Wait until the server has let it in: its first id tells. Return that."""
        self.until(lambda: self.last_id)
        return self.last_id

    def take(self, count):
        """Return the next ``count`` events."""
        self.until(lambda: len(self._events) >= count)
        events, self._events = self._events[:count], self._events[count:]
        return events

    def ended(self):
        """Read to the end; return whether that was in good order."""
        while chunk := self.client.read_chunk():
            self._events += self.feed(chunk)
        return chunk == b""
