"""What tests of libraries share: an upstream that takes its time."""

import pytest
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from certificates import Identity


class Patient(Resource):
    """Answers with ``sent`` of the query after its ``seconds``."""

    isLeaf = True

    def __init__(self, reactor):
        super().__init__()
        self._reactor = reactor

    def render_GET(self, request):
        def answer():
            if not gone:
                request.write(request.args[b"sent"][0])
                request.finish()

        gone = []
        request.notifyFinish().addErrback(gone.append)
        self._reactor.callLater(float(request.args[b"seconds"][0]), answer)
        return NOT_DONE_YET


class Upstream:
    """A server of this process: ``url``, ``tls_url``, and the file with the ``certificate`` of the latter."""

    def __init__(self, loop, directory):
        self._loop = loop
        identity = Identity("127.0.0.1")
        self.certificate = directory / "certificate.pem"
        self.certificate.write_bytes(identity.pem)
        self._listening = loop.call(self._start, identity.server())
        port, tls_port = (found.getHost().port for found in self._listening)
        self.url, self.tls_url = f"http://127.0.0.1:{port}/", f"https://127.0.0.1:{tls_port}/"

    def _start(self, tls):
        reactor = self._loop.reactor
        site = Site(Patient(reactor), timeout=None)
        tls_site = TLSMemoryBIOFactory(tls, False, site, clock=reactor)
        return [reactor.listenTCP(0, factory, 500, "127.0.0.1") for factory in (site, tls_site)]

    def stop(self):
        for listening in self._listening:
            self._loop.call(listening.stopListening)


@pytest.fixture(scope="module")
def upstream(reactor_thread, tmp_path_factory):
    """An upstream that takes its time."""
    upstream = Upstream(reactor_thread, tmp_path_factory.mktemp("upstream"))
    yield upstream
    upstream.stop()
