"""HTTPS: verified by default, with clear words where it is not what it claims."""

import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from http_servers import OK, HTTPTestCase, Peer, sending
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.ssl import Certificate, PrivateCertificate
from twisted.internet.task import deferLater

from skitai.errors import OperationError, UnsentError

# Twisted itself hands its certificates to pyOpenSSL in the old way.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")


def certificate_for(*names):
    """Return a self-signed certificate with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "skitai test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return PrivateCertificate.loadPEM(pem)


LOOPBACK = certificate_for(x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost"))
ELSEWHERE = certificate_for(x509.DNSName("elsewhere.example"))


class PlainTalker(Peer):
    """Answers whatever comes with plain text."""

    def dataReceived(self, data):
        self.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


class TLSTests(HTTPTestCase):
    def serve_tls(self, handler, certificate=LOOPBACK):
        server = self.serve(handler, listen=reactor.listenSSL, extra=(certificate.options(),))
        server.url = server.url.replace("http://", "https://")
        return server

    async def test_verified(self):
        """A certificate that is trusted and names the host is accepted, by address and by name."""
        server = self.serve_tls(sending(OK))
        pool = self.pool(trust_root=Certificate(LOOPBACK.original))
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            assert [(await self.ask(pool, url)).data for _ in range(2)] == [b"ok", b"ok"]
        assert len(server.peers) == 2

    async def test_untrusted(self):
        """A certificate that nobody vouches for is refused before anything is sent."""
        server = self.serve_tls(sending(OK))
        error = await self.error_of(self.ask(self.pool(), server.url), UnsentError)
        assert error.code == 701
        assert error.message == f"TLS with 127.0.0.1:{server.port} failed: certificate verify failed"
        assert server.heads == []

    async def test_certificate_of_somebody_else(self):
        """A trusted certificate for another name is refused, and the message says so."""
        server = self.serve_tls(sending(OK), ELSEWHERE)
        pool = self.pool(trust_root=Certificate(ELSEWHERE.original))
        error = await self.error_of(self.ask(pool, server.url), UnsentError)
        assert error.message == f"the certificate of 127.0.0.1:{server.port} is not for '127.0.0.1'"
        assert server.heads == []

    async def test_no_tls_there(self):
        """A server that speaks plain HTTP to a TLS greeting is an UnsentError about TLS."""
        server = self.serve(None)
        server.protocol = PlainTalker
        error = await self.error_of(self.ask(self.pool(), server.url.replace("http:", "https:")), UnsentError)
        assert error.code == 701
        assert error.message.startswith(f"TLS with 127.0.0.1:{server.port} failed: ")

    async def test_close_ends_the_body(self):
        """A body without a length ends when the server closes TLS in good order."""
        server = self.serve_tls(sending(b"HTTP/1.0 200 OK\r\n\r\nall of it", close=True))
        pool = self.pool(trust_root=Certificate(LOOPBACK.original))
        assert (await self.ask(pool, server.url)).data == b"all of it"

    async def test_truncation(self):
        """A body that ends with the connection is not complete where TLS was cut off under it."""

        def handler(peer):
            peer.write(b"HTTP/1.0 200 OK\r\n\r\npart of it")
            reactor.callLater(0.05, peer.transport.abortConnection)

        server = self.serve_tls(handler)
        pool = self.pool(trust_root=Certificate(LOOPBACK.original))
        error = await self.error_of(self.ask(pool, server.url), OperationError)
        assert (error.code, isinstance(error, UnsentError)) == (706, False)

    async def test_large_post(self):
        """A large body leaves whole over TLS."""
        body = bytes(range(256)) * 10_000

        def handler(peer):
            peer.in_body = True
            reactor.callLater(0, answer, peer)

        def answer(peer):
            if server.everything.endswith(body):
                peer.write(OK)
            else:
                reactor.callLater(0.01, answer, peer)

        server = self.serve_tls(handler)
        pool = self.pool(trust_root=Certificate(LOOPBACK.original))
        assert (await self.ask(pool, server.url, body, method="POST")).data == b"ok"

    async def test_cancelling_the_handshake(self):
        """Cancelling while the server stalls the handshake closes the socket."""
        server = self.serve(lambda peer: None)
        asked = self.ask(self.pool(), server.url.replace("http:", "https:"))
        while not server.everything:
            await deferLater(reactor, 0.01)
        asked.cancel()
        await self.error_of(asked, CancelledError)
        await server.peers[0].lost
