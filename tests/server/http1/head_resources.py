"""Resources that are asked at the head, and what they do with a body or a connection."""

from http_channel import TEXT, echo
from twisted.internet.protocol import Protocol
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from skitai.interfaces import IBodySink, IHeadResource, ILastingProtocol
from skitai.server.site import Mounts, Site


@implementer(IHeadResource)
class AtHead(Resource):
    """Does what ``act(request)`` does at the head; a request that it leaves alone is echoed when whole."""

    isLeaf = True

    def __init__(self, act):
        super().__init__()
        self.act = act
        self.asked = []

    def at_head(self, request):
        self.asked.append(request)
        return self.act(request)

    def render(self, request):
        echo(request)
        return NOT_DONE_YET


@implementer(IBodySink)
class Sink:
    """Keeps what comes, and answers with its length at the end; ``paused`` says whether it begins paused."""

    def __init__(self, request=None, paused=False):
        self.request = request
        self.paused = paused
        self.pieces = []
        self.ended = False
        self.error = None

    def registerProducer(self, producer, streaming):
        assert streaming
        self.producer, self.registered = producer, True
        if self.paused:
            producer.pauseProducing()

    def unregisterProducer(self):
        self.registered = False

    def write(self, data):
        assert not self.ended
        self.pieces.append(data)

    def end(self, error):
        assert not self.registered
        assert not self.ended
        assert self.error is None
        self.error = error
        if error is None:
            self.ended = True
            self.answer()

    def answer(self):
        if self.request is not None:
            self.request.respond("200 OK", TEXT, b"%d" % len(self.body))

    @property
    def body(self):
        return b"".join(self.pieces)


class Streaming(AtHead):
    """Streams each body to a Sink of its own: ``sinks``."""

    def __init__(self, paused=False, size_max=None):
        super().__init__(self._stream)
        self.sinks = []
        self._options = paused, size_max

    def _stream(self, request):
        paused, size_max = self._options
        self.sinks.append(Sink(request, paused))
        request.stream_body(self.sinks[-1], size_max)
        return True


class Echo(Protocol):
    """Sends back what it gets, in capitals; says goodbye to ``bye``."""

    def __init__(self):
        self.reasons = []

    def dataReceived(self, data):
        self.transport.write(data.upper())
        if data.endswith(b"bye"):
            self.transport.loseConnection()

    def connectionLost(self, reason):
        self.reasons.append(reason)


@implementer(ILastingProtocol)
class PoliteEcho(Echo):
    """An Echo that says goodbye when the server stops."""

    def stop(self):
        self.transport.write(b"GOODBYE")
        self.transport.loseConnection()


class Upgrading(AtHead):
    """Goes on in the protocol ``echo``, or as the tunnel of CONNECT: ``protocols``."""

    def __init__(self, protocol=Echo):
        super().__init__(self._upgrade)
        self.protocols = []
        self._protocol = protocol

    def _upgrade(self, request):
        if request.method == b"CONNECT":
            status, headers = "200 Connected", []
        elif request.upgrade == b"echo":
            status, headers = "101 Switching Protocols", [("Upgrade", "echo")]
        else:
            return False
        self.protocols.append(self._protocol())
        request.take_over(self.protocols[-1], status, headers)
        return True


def site_of(resource, connect=None):
    """Return a site with ``resource`` at its root."""
    return Site(Mounts([], [(b"", resource)]), connect=connect)
