"""HTTPS: verified by default, with clear words where it is not what it claims."""

from pathlib import Path

import pytest
from http_servers import OK, HTTPTestCase, Peer, sending
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from certificates import Identity
from skitai.errors import OperationError, UnsentError
from skitai.net.client_tls import TLSContexts, TLSProfile
from skitai.net.pem import TLSConfigError
from skitai.services.http import HTTPNode, HTTPService

AUTHORITY = Identity(authority=True)
LOOPBACK = Identity("127.0.0.1", "localhost", issuer=AUTHORITY)
CLIENT = Identity("client.example", issuer=AUTHORITY)


class PlainTalker(Peer):
    """Answers whatever comes with plain text."""

    def dataReceived(self, data):
        self.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


class TLSTests(HTTPTestCase):
    def file(self, *contents):
        """Return the path of a file with PEM texts."""
        path = Path(self.mktemp())
        path.write_bytes(b"".join(contents))
        return path

    def trusting(self, *identities, **profile):
        """Return a profile that believes these."""
        return TLSProfile(ca=self.file(*[identity.pem for identity in identities or [AUTHORITY]]), **profile)

    def serve_tls(self, handler, certificate=LOOPBACK, clients=None):
        server = self.serve(handler, listen=reactor.listenSSL, extra=(certificate.server(clients=clients),))
        server.url = server.url.replace("http://", "https://")
        return server

    async def test_verified(self):
        """A certificate that is trusted and names the host is accepted, by address and by name."""
        server = self.serve_tls(sending(OK))
        pool = self.pool(profile=self.trusting())
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            assert [(await self.ask(pool, url)).data for _ in range(2)] == [b"ok", b"ok"]
        assert len(server.peers) == 2

    async def test_the_end_of_an_idle_connection(self):
        """It is told within TLS, too; a server that never answers to that holds nothing."""
        server = self.serve_tls(sending(OK))
        pool = self.pool(profile=self.trusting())
        await self.ask(pool, server.url)
        peer = server.peers[0]
        peer.transport.loseConnection = peer.transport._shutdownTLS = lambda: None
        await pool.close()
        await peer.lost
        assert not peer.was_reset

    async def refusal(self, certificate, *, trusted=(AUTHORITY,)):
        """Return what is said of a certificate that must be refused, before anything is sent."""
        server = self.serve_tls(sending(OK), certificate)
        pool = self.pool(profile=self.trusting(*trusted))
        error = await self.error_of(self.ask(pool, server.url), UnsentError)
        assert server.heads == []
        assert error.code == 701
        return error.message.replace(f":{server.port}", "")

    async def test_unknown_to_the_system(self):
        """A certificate that the system does not trust is refused by default."""
        server = self.serve_tls(sending(OK))
        error = await self.error_of(self.ask(self.pool(), server.url), UnsentError)
        assert error.message.startswith(f"the certificate of 127.0.0.1:{server.port} is of an issuer")
        assert server.heads == []

    async def test_refusals(self):
        """The message names the host and says what is wrong with its certificate."""
        of = "the certificate of 127.0.0.1"
        expired = Identity("127.0.0.1", issuer=AUTHORITY, days=-1)
        assert await self.refusal(expired) == f"{of} has expired"
        elsewhere = Identity("elsewhere.example", issuer=AUTHORITY)
        assert await self.refusal(elsewhere) == f"{of} is not for '127.0.0.1'"
        nameless = Identity(issuer=AUTHORITY)
        assert await self.refusal(nameless) == f"{of} is not for '127.0.0.1'"
        alone = Identity("127.0.0.1")
        assert await self.refusal(alone) == f"{of} is self-signed and not trusted here"
        stranger = Identity(authority=True)
        assert (
            await self.refusal(LOOPBACK, trusted=(stranger,))
            == f"{of} is of an issuer that is not known here"
        )

    async def test_intermediate(self):
        """An authority of the file needs no other one above it."""
        between = Identity(issuer=AUTHORITY, authority=True)
        server = self.serve_tls(sending(OK), Identity("127.0.0.1", issuer=between))
        assert (await self.ask(self.pool(profile=self.trusting(between)), server.url)).data == b"ok"

    async def test_not_verified(self):
        """With verify = no any certificate will do."""
        server = self.serve_tls(sending(OK), Identity("elsewhere.example", days=-1))
        pool = self.pool(profile=TLSProfile(verify=False))
        assert [(await self.ask(pool, server.url)).data for _ in range(2)] == [b"ok", b"ok"]
        assert len(server.peers) == 1

    async def test_server_name(self):
        """The server is told the name that is asked for, but no address (SNI)."""
        names = []
        identity = Identity("127.0.0.1", "localhost", issuer=AUTHORITY)
        options = identity.server()
        options.getContext().set_tlsext_servername_callback(lambda c: names.append(c.get_servername()))
        server = self.serve(sending(OK), listen=reactor.listenSSL, extra=(options,))
        pool = self.pool(profile=self.trusting())
        for host in ("localhost", "127.0.0.1"):
            await self.ask(pool, f"https://{host}:{server.port}/")
        assert [name for name in names if name] == [b"localhost"]

    async def test_client_certificate(self):
        """A server that wants a client certificate is shown that of the profile, and does not do without."""
        server = self.serve_tls(sending(OK), clients=AUTHORITY)
        together = self.file(CLIENT.pem, AUTHORITY.pem, CLIENT.key_pem())
        apart = {
            "certfile": self.file(CLIENT.pem),
            "keyfile": self.file(CLIENT.key_pem("secret")),
            "passphrase": "secret",
        }
        for files in ({"certfile": together}, apart):
            result = await self.ask(self.pool(profile=self.trusting(**files)), server.url)
            assert result.data == b"ok"
        error = await self.error_of(self.ask(self.pool(profile=self.trusting()), server.url), OperationError)
        assert error.code in (701, 706)
        assert "certificate required" in error.message
        assert "[(" not in error.message  # OpenSSL's own words for it are a list of tuples

    async def test_profile_of_a_cluster(self):
        """A cluster's own profile counts for its members only, also where a URL names the same host."""
        server = self.serve_tls(sending(OK))
        pool = self.pool()
        service = HTTPService("GET", pool)
        options = {"ssl": "yes", "ca": str(self.file(AUTHORITY.pem))}
        node = service.member(f"127.0.0.1:{server.port}", options)
        assert (await service.perform(node, service.operation("@c/"))).data == b"ok"
        await self.error_of(self.ask(pool, server.url), UnsentError)
        assert {node: 1}[service.member(f"127.0.0.1:{server.port}", options)] == 1
        assert node != HTTPNode("127.0.0.1", server.port, tls=True)

    async def test_stale_connection(self):
        """A GET that a stale TLS connection swallowed is repeated without the app noticing."""
        server = self.serve_tls(lambda peer: peer.write(OK) if peer.requests == 1 else peer.close())
        pool = self.pool(profile=self.trusting())
        assert [(await self.ask(pool, server.url)).data for _ in range(2)] == [b"ok", b"ok"]
        assert (len(server.peers), len(server.heads)) == (2, 3)

    async def test_unasked_bytes_in_the_kernel(self):
        """A reply that nobody asked for and nobody has read yet answers no later request."""
        server = self.serve_tls(sending(OK))
        pool = self.pool(profile=self.trusting())
        await self.ask(pool, server.url)
        server.peers[0].slip(b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n")
        assert (await self.ask(pool, server.url)).code == 200
        assert len(server.peers) == 2

    async def test_closing_twice(self):
        """What is closed may be closed again: the pool and the server give up a connection at once."""
        server = self.serve_tls(lambda peer: None)
        pool = self.pool(profile=self.trusting())
        asked = self.ask(pool, server.url)
        while not server.heads:
            await deferLater(reactor, 0.005)
        server.peers[0].transport.abortConnection()
        closed = pool.close()
        assert (await self.error_of(asked, OperationError)).code == 705
        await closed

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
        pool = self.pool(profile=self.trusting())
        assert (await self.ask(pool, server.url)).data == b"all of it"

    async def test_truncation(self):
        """A body that ends with the connection is not complete where TLS was cut off under it."""

        def handler(peer):
            peer.write(b"HTTP/1.0 200 OK\r\n\r\npart of it")
            reactor.callLater(0.05, peer.transport.abortConnection)

        server = self.serve_tls(handler)
        pool = self.pool(profile=self.trusting())
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
        pool = self.pool(profile=self.trusting())
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


@pytest.fixture
def files(tmp_path):
    """Return ``files(name, *contents)``: the path of a file with PEM texts."""

    def write(name, *contents):
        path = tmp_path / name
        path.write_bytes(b"".join(contents))
        return path

    return write


def wrong(**profile):
    """Return the key and the message of the error that a profile is."""
    with pytest.raises(TLSConfigError) as caught:
        TLSContexts(TLSProfile()).load(TLSProfile(**profile))
    return caught.value.key, str(caught.value)


def test_files_that_are_not_there(tmp_path):
    """A file that cannot be read is named with its key."""
    for key in ("ca", "certfile"):
        assert wrong(**{key: tmp_path / "x.pem"}) == (
            key,
            f"cannot read {tmp_path}/x.pem: No such file or directory",
        )


def test_files_of_something_else(files):
    """A file that holds something else is named with its key."""
    garbage, certificate = files("garbage", b"hello"), files("certificate", CLIENT.pem)
    assert wrong(ca=garbage) == ("ca", f"{garbage} holds no certificate in PEM form, or a damaged one")
    assert wrong(certfile=garbage)[0] == "certfile"
    assert wrong(certfile=certificate) == (
        "certfile",
        f"{certificate} holds no private key in PEM form: name the file of the key in keyfile",
    )
    assert wrong(certfile=certificate, keyfile=garbage)[0] == "keyfile"
    assert wrong(keyfile=garbage) == ("keyfile", "is of no use without certfile")


def test_key_of_somebody_else(files):
    """A key that is not that of the certificate is refused."""
    key, message = wrong(certfile=files("c", CLIENT.pem), keyfile=files("k", LOOPBACK.key_pem()))
    assert key == "keyfile"
    assert "is not that of the first certificate in" in message


def test_passphrase(files):
    """An encrypted key needs its passphrase, and nobody is asked for it on a terminal."""
    profile = {"certfile": files("c", CLIENT.pem), "keyfile": files("k", CLIENT.key_pem("secret"))}
    assert wrong(**profile) == ("passphrase", f"is missing: the key in {profile['keyfile']} is encrypted")
    key, message = wrong(**profile, passphrase="wrong")
    assert (key, message) == ("passphrase", f"does not open the key in {profile['keyfile']}")


def test_a_profile_keeps_its_secret():
    """The passphrase is in no repr."""
    assert "secret" not in repr(TLSProfile(passphrase="secret"))
