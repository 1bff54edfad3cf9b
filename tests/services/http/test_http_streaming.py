"""Files as bodies: read as they leave, whole or not at all, and from the start again where that helps."""

import gc
import gzip
import io
import os
import tempfile
import threading
from contextlib import ExitStack
from contextvars import Context, ContextVar
from functools import partial

import pytest
from http_servers import OK
from http_upstream import ClientTestCase, Upstream, reply
from test_http_auth import DigestGuard, basic
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, ensureDeferred, gatherResults
from twisted.internet.task import deferLater

from certificates import Identity
from skitai.errors import OperationError
from skitai.net.client_tls import TLSProfile
from skitai.services.http import HTTPService
from skitai.services.http.filesource import PIECE, FileSource
from skitai.services.http.streaming import THREADS_MAX

POST = HTTPService("POST", None)
LARGE = bytes(range(256)) * 4 * 1024  # 1 MiB


class Watched(io.BytesIO):
    """Counts the bytes that were read."""

    count = 0

    def read(self, size=-1):
        data = super().read(size)
        self.count += len(data)
        return data


class Unseekable(Watched):
    """Comes once, like a pipe; ``raises`` when it is all read."""

    raises = None

    def seekable(self):
        return False

    def read(self, size=-1):
        data = super().read(size)
        if not data and self.raises:
            raise self.raises
        return data


def written(make, data):
    file = make()
    file.write(data)
    return file


on_disk = partial(written, tempfile.TemporaryFile)
unbuffered = partial(written, partial(tempfile.TemporaryFile, buffering=0))
named = partial(written, tempfile.NamedTemporaryFile)
tempfile_in_memory = partial(written, tempfile.SpooledTemporaryFile)


def packed(data):
    """Return a file with a descriptor from which something else can be read than from the file."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(gzip.compress(data))
        file.flush()
        return gzip.open(file.name)


def upload_threads():
    return [thread for thread in threading.enumerate() if thread.name == "skitai-upload"]


def echo(request):
    return reply(bytes(request.body))


class StreamingTests(ClientTestCase):
    async def test_file(self):
        """A file goes out whole with its length, from where it stands."""
        server = self.serve(Upstream(echo))
        with tempfile.TemporaryFile() as file:
            file.write(b"skipped" + LARGE)
            file.seek(7)
            result = await self.get(self.client("PUT"), server.url, file)
        assert result.data == LARGE
        headers = server.requests[0].headers
        assert (headers["content-length"], "transfer-encoding" in headers) == (str(len(LARGE)), False)

    async def test_pipe(self):
        """What has no length goes out in chunks, and does not stop the reactor while it has nothing."""
        server = self.serve(Upstream(echo))
        client = self.client("POST")
        reading, writing = os.pipe()
        with open(reading, "rb") as file, open(writing, "wb", buffering=0) as end:
            asked = ensureDeferred(self.get(client, server.url, file))
            end.write(b"first ")
            assert (await self.get(client, server.url, "meanwhile")).data == b"meanwhile"
            end.write(b"last")
            end.close()
            assert (await asked).data == b"first last"
        assert server.requests[-1].headers["transfer-encoding"] == "chunked"
        assert "content-length" not in server.requests[-1].headers

    async def test_pipe_that_does_not_end(self):
        """Cancelling closes the connection although the file may never be read."""
        server = self.serve(Upstream(echo))
        reading, writing = os.pipe()
        client = self.client("POST")
        with open(reading, "rb") as file, open(writing, "wb"):
            operation = client.operation(server.url, file)
            asked = client.perform(client.node(server.url), operation)
            while not server.peers:
                await deferLater(reactor, 0.005)
            asked.cancel()
            await self.error_of(asked, CancelledError)
            await server.peers[0].lost

    async def test_many_pipes(self):
        """No more threads than allowed read from pipes; further bodies get their turn, unless given up."""
        server = self.serve(Upstream(echo))
        client = self.client("POST")
        count = THREADS_MAX + 3
        with ExitStack() as files:
            pipes = [os.pipe() for _ in range(count)]
            readers = [files.enter_context(open(reading, "rb")) for reading, _ in pipes]
            writers = [files.enter_context(open(writing, "wb", buffering=0)) for _, writing in pipes]
            asked = [ensureDeferred(self.get(client, server.url, file)) for file in readers]
            while server.everything.count(b"\r\n\r\n") < count:
                await deferLater(reactor, 0.005)
            assert len(upload_threads()) == THREADS_MAX
            asked[-1].cancel()
            await self.error_of(asked.pop(), CancelledError)
            for writer in writers:
                writer.write(b"x")
                writer.close()
            assert [result.data for result in await gatherResults(asked)] == [b"x"] * (count - 1)
        while upload_threads():
            await deferLater(reactor, 0.005)

    async def test_a_pipe_that_nobody_writes_to(self):
        """When the call is over, the app can close the file, and no thread is left that waits for it."""
        server = self.serve(Upstream(echo))
        reading, writing = os.pipe()
        with open(writing, "wb"), open(reading, "rb") as file:
            asked = ensureDeferred(self.get(self.client("POST"), server.url, file))
            while not upload_threads():
                await deferLater(reactor, 0.005)
            asked.cancel()
            await self.error_of(asked, CancelledError)
        while upload_threads():
            await deferLater(reactor, 0.005)

    async def test_a_call_that_ended_early_leaves_the_file(self):
        """A second call sends the whole file, though the first ended in the middle of it."""
        server = self.serve(Upstream(echo))
        for kind in (named, packed, Watched):
            with kind(LARGE) as file:
                file.seek(0)
                operation = self.client("POST").operation(server.url, file)
                operation.request.stream.open().read()
                del operation
                gc.collect()
                assert (await self.get(self.client("POST"), server.url, file)).data == LARGE

    async def test_empty_files(self):
        """Nothing to read is an empty body."""
        server = self.serve(Upstream(echo))
        for file in (io.BytesIO(), Unseekable()):
            assert (await self.get(self.client("POST"), server.url, file)).data == b""
        assert server.requests[0].headers["content-length"] == "0"

    async def test_connection_is_kept(self):
        """After a streamed body the connection carries the next request."""
        server = self.serve(Upstream(echo))
        client = self.client("POST")
        for file in (io.BytesIO(LARGE), Unseekable(LARGE), io.BytesIO(b"x")):
            assert (await self.get(client, server.url, file)).code == 200
        assert len(server.peers) == 1

    async def test_over_tls(self):
        """A file goes out whole over TLS, too, in order and in either framing."""
        certificate = Identity("127.0.0.1")
        server = self.serve(Upstream(echo), listen=reactor.listenSSL, extra=(certificate.server(),))
        client = HTTPService("POST", self.pool(profile=TLSProfile(verify=False)))
        url = server.url.replace("http:", "https:")
        for file in (io.BytesIO(LARGE), Unseekable(LARGE)):
            assert (await self.get(client, url, file)).data == LARGE

    async def test_not_faster_than_the_reader(self):
        """A server that does not read keeps the file from being read."""
        server = self.serve(Upstream(echo))
        for kind in (Watched, Unseekable):
            file = kind(b"x" * (64 * 1024 * 1024))
            client = self.client("POST")
            operation = client.operation(server.url, file)
            count = len(server.peers)
            asked = client.perform(client.node(server.url), operation)
            while len(server.peers) == count:
                await deferLater(reactor, 0.005)
            server.peers[-1].transport.pauseProducing()
            read = -1
            while read != file.count or not read:
                read = file.count
                await deferLater(reactor, 0.05)
            assert read < 32 * 1024 * 1024
            asked.cancel()
            await self.error_of(asked, CancelledError)
            server.peers[-1].transport.resumeProducing()
            await server.peers[-1].lost

    async def test_answer_before_the_end(self):
        """A server that answers early and in order is heard, and the connection is not used again."""

        def early(peer):
            peer.in_body = True
            peer.write(reply(b"too large", 413))

        server = self.serve(early)
        file = Watched(b"x" * (64 * 1024 * 1024))
        result = await self.get(self.client("POST"), server.url, file)
        assert (result.code, result.data) == (413, b"too large")
        await server.peers[0].lost
        assert file.count < 64 * 1024 * 1024

    async def test_files_that_cannot_be_read(self):
        """A file that is closed, shrinks or raises is a failed result, and the connection is closed."""
        closed, shrunk, raising = io.BytesIO(LARGE), io.BytesIO(LARGE), Unseekable(LARGE)
        raising.raises = RuntimeError("no more")
        texts = Unseekable()
        texts.read = lambda size: "text"
        server = self.serve(Upstream(echo))
        client = self.client("PUT")
        for file, spoil, words in [
            (closed, closed.close, "closed file"),
            (shrunk, lambda: shrunk.truncate(PIECE), f"ended after {PIECE} of {len(LARGE)} bytes"),
            (raising, lambda: None, "RuntimeError: no more"),
            (texts, lambda: None, "gave str instead of bytes"),
        ]:
            operation = client.operation(server.url, file)
            spoil()
            result = await client.perform(client.node(server.url), operation)
            assert (result.status, result.code) == (2, 701)
            assert words in result.msg
            assert result.url == server.url
            await server.peers[-1].lost
        assert server.requests == []

    async def test_one_file_to_several_servers(self):
        """Each of them gets all of it, although they read at the same time."""
        servers = [self.serve(Upstream(echo)) for _ in range(3)]
        client = self.client("POST")
        operation = client.operation(servers[0].url, io.BytesIO(LARGE))
        asked = [client.perform(client.node(server.url), operation) for server in servers]
        assert [result.data == LARGE for result in await gatherResults(asked)] == [True] * 3

    async def test_one_file_to_several_calls(self):
        """Each call sends all of the file from where the app handed it over, which stays there."""
        server = self.serve(Upstream(echo))
        client = self.client("POST")
        for kind in (on_disk, unbuffered, named, io.BytesIO, tempfile_in_memory, packed, Watched):
            with kind(b"skipped" + LARGE) as file:
                file.seek(7)
                before = len(server.everything)
                first = ensureDeferred(self.get(client, server.url, file))
                while len(server.everything) < before + 1000:
                    await deferLater(reactor, 0.005)
                more = [ensureDeferred(self.get(client, server.url, file)) for _ in range(2)]
                results = await gatherResults([first, *more])
                assert [result.data == LARGE for result in results] == [True] * 3
                assert file.read(3) == LARGE[:3]
                file.seek(-2, io.SEEK_END)
                assert (await self.get(client, server.url, file)).data == LARGE[-2:]

    def test_files_that_are_no_keys(self):
        """A file that cannot be hashed, or weakly referenced, is whole for each of two calls as well."""

        class NoKey(Watched):
            __hash__ = None

        class Slots:
            __slots__ = ("file",)

            def __getattr__(self, name):
                return getattr(self.file, name)

        slots = Slots()
        slots.file = Watched(LARGE)
        for file in (NoKey(LARGE), slots):
            first = FileSource.of(file, "data")
            first.read(0)
            assert FileSource.of(file, "data").length == len(LARGE)

    async def test_a_file_that_is_being_written(self):
        """What the app has written and Python not yet handed to the system is sent, too."""
        server = self.serve(Upstream(echo))
        with tempfile.TemporaryFile() as file:
            file.write(b"abcdef")
            file.seek(0)
            file.write(b"x")
            assert (await self.get(self.client("POST"), server.url, file)).data == b"bcdef"
            file.seek(0)
            assert (await self.get(self.client("POST"), server.url, file)).data == b"xbcdef"

    async def test_stale_connection(self):
        """A PUT that a stale connection swallowed is repeated from the start of the file."""

        def handler(peer):
            if peer.requests == 1 and peer is server.peers[0]:
                peer.write(OK)
            elif peer is server.peers[0]:
                peer.close()
            else:
                peer.in_body = True
                peer.write(OK)

        server = self.serve(handler)
        client = self.client("PUT")
        await self.get(client, server.url)
        assert (await self.get(client, server.url, io.BytesIO(b"all of it"))).data == b"ok"
        assert bytes(server.everything).endswith(b"\r\n\r\nall of it")

    async def test_what_cannot_be_repeated(self):
        """A PUT of a pipe that a stale connection swallowed is not."""
        server = self.serve(lambda peer: peer.write(OK) if peer.requests == 1 else peer.close())
        client = self.client("PUT")
        await self.get(client, server.url)
        operation = client.operation(server.url, Unseekable(b"once"))
        assert not operation.idempotent
        await self.error_of(client.perform(client.node(server.url), operation), OperationError)
        assert len(server.heads) == 2

    async def test_login(self):
        """A file is sent again in answer to a challenge; for a pipe the 401 is the result."""
        for guard in (basic(), DigestGuard()):
            server = self.serve(Upstream(guard))
            auth = ("hans", "secret")
            refused = await self.get(self.client("POST"), server.url, Unseekable(b"x"), auth)
            assert (refused.status, refused.code) == (3, 401)
            assert "the body, which has no length, cannot be sent a second time" in refused.msg
            assert (await self.get(self.client("POST"), server.url, io.BytesIO(LARGE), auth)).code == 200
            assert bytes(server.requests[-1].body) == LARGE

    async def test_redirect(self):
        """A 307 sends the file again; a pipe cannot be."""

        def handler(request):
            return echo(request) if request.target == "/b" else reply(code=307, Location="/b")

        server = self.serve(Upstream(handler))
        assert (await self.get(self.client("POST"), server.url, io.BytesIO(LARGE), follow=1)).data == LARGE
        result = await self.get(self.client("POST"), server.url, Unseekable(b"x"), follow=1)
        assert (result.status, result.msg) == (2, "a redirect (307) of a body that cannot be sent again")


@pytest.mark.parametrize("data", [io.StringIO("text"), {"f": object()}])
def test_what_is_no_binary_file(data):
    """It is refused at once with the name of the argument."""
    with pytest.raises(TypeError, match="data"):
        POST.operation("http://h/", data)


@pytest.mark.parametrize("seekable", [True, False])
def test_a_file_of_the_apps_own_is_a_part_of_the_request(seekable):
    """Its ``read`` sees the context variables of the request that handed it over, wherever it is called."""
    number, seen = ContextVar("number"), []

    class File(io.BytesIO):
        def seekable(self):
            return seekable

        def read(self, size=-1):
            seen.append(number.get(None))
            return super().read(size)

    def hand_over():
        number.set(1)
        return FileSource.of(File(b"tea"), "data")

    source = Context().run(hand_over)
    assert (source.read(0), seen, number.get(None)) == (b"tea", [1], None)


def test_a_closed_file():
    """It is refused at once with the name of the argument."""
    file = io.BytesIO()
    file.close()
    with pytest.raises(ValueError, match="data cannot be read"):
        POST.operation("http://h/", file)


def test_no_cache_key():
    """What is streamed is never answered from the cache."""
    assert POST.operation("http://h/", io.BytesIO(b"x")).cache_key is None
