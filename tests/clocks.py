"""The reactor with a clock of the test's own."""

from twisted.internet import reactor
from twisted.internet.task import Clock


class OnClock:
    """The real reactor's sockets and turns under a clock that a test moves."""

    def __init__(self):
        self.clock = Clock()
        self.seconds = self.clock.seconds

    def callLater(self, delay, *call):
        return (self.clock if delay else reactor).callLater(delay, *call)

    def __getattr__(self, name):
        return getattr(reactor, name)
