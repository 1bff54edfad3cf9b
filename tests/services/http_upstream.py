"""A loopback upstream that reads whole requests, in contrast to the literal bytes of http_servers."""

from __future__ import annotations

from http_servers import HTTPTestCase, Peer, Server
from httptools import HttpRequestParser

from skitai.services.http import HTTPService


class Request:
    """One request as it arrived: ``headers`` by lower-case name."""

    def __init__(self):
        self.target = ""
        self.method = ""
        self.headers = {}
        self.body = bytearray()


class RequestPeer(Peer):
    """Answers each whole request with the bytes that the server's ``handler(request)`` returns, if any."""

    def connectionMade(self):
        super().connectionMade()
        self.parser = HttpRequestParser(self)

    def dataReceived(self, data):
        self.factory.everything += data
        self.parser.feed_data(data)

    def on_message_begin(self):
        self.request = Request()

    def on_url(self, url):
        self.request.target += url.decode("ascii")

    def on_header(self, name, value):
        self.request.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self):
        self.request.method = self.parser.get_method().decode("ascii")

    def on_body(self, data):
        self.request.body += data

    def on_message_complete(self):
        self.factory.requests.append(self.request)
        answer = self.factory.handler(self.request)
        if answer is not None:
            self.write(answer)


class Upstream(Server):
    """Remembers the ``requests``; ``HTTPTestCase.serve`` takes it."""

    protocol = RequestPeer

    def __init__(self, handler):
        super().__init__(handler)
        self.requests = []


def reply(body=b"", code=200, **headers):
    """Return the bytes of a reply; underscores in header names stand for hyphens."""
    lines = [f"HTTP/1.1 {code} Words", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class ClientTestCase(HTTPTestCase):
    """Asks through services of its own."""

    def client(self, method="GET", **limits):
        return HTTPService(method, self.pool(**limits))

    async def get(self, client, url, *args, **kwargs):
        """Return the result of one request of ``client``."""
        operation = client.operation(url, *args, **kwargs)
        return await client.perform(operation.node or client.node(url), operation)
