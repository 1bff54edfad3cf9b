"""Twisted resources for tests, and how to ask them."""

from twisted.web.resource import Resource

GET = b"GET %b HTTP/1.1\r\nHost: a.example:8080\r\n%b\r\n"


class Page(Resource):
    """A leaf that renders with a function of the request."""

    isLeaf = True

    def __init__(self, render):
        super().__init__()
        self.render_GET = self.render_POST = render


def ask(server, target=b"/", fields=b"", method=b"GET"):
    """Return the one answer to a request on a new connection."""
    client = server.connect()
    client.send((GET % (target, fields)).replace(b"GET", method, 1))
    (answer,) = client.answers(method.decode())
    return answer


def render(mounted, function, target=b"/", fields=b"", method=b"GET"):
    """Return the answer of a page that renders with ``function``."""
    return ask(mounted(Page(function)), target, fields, method)
