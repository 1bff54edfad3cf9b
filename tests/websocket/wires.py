"""A wire without a network."""


class FakeWire:
    """Notes what is sent; the test says what the peer has read, and what comes from it."""

    subprotocol = None

    def __init__(self):
        self.sent = []
        self.closes = []
        self.reading = []
        self.waiting = 0
        self.aborted = 0

    def send(self, message):
        self.sent.append(message)

    def send_frame(self, frame):
        self.sent.append(frame)

    def close(self, code=1000, reason=""):
        self.closes.append((code, reason))

    def abort(self):
        self.aborted += 1

    def read_on(self, wanted):
        self.reading.append(wanted)
