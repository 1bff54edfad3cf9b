"""What is mounted: it hands each request to an exchange with the members of its cluster."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from skitai.http.paths import PERCENT
from skitai.interfaces import IHeadResource
from skitai.services.http.filesource import PIECE, FileSource
from skitai.services.http.streaming import StreamedBody
from skitai.services.proxy.exchange import Exchange
from skitai.services.proxy.fields import UnsendableError, tunnelled
from skitai.services.proxy.message import Message
from skitai.services.proxy.uploading import PushedBody

if TYPE_CHECKING:
    from skitai.services.proxy.seam import Follower
    from skitai.services.proxy.way import Way

#: A segment ``..`` or ``.``, by which the member might find what another mount leads to, with its options.
_UPWARDS = re.compile(rb"(?:/|\\|%2f|%5c)(?:\.|%2e){1,2}(?:/|\\|%2f|%5c|;|\Z)", re.IGNORECASE)

_UPWARDS_DETAIL = "A path with . or .. in it is not passed on by this proxy: write the address without it."
_BACKSLASH = ord("\\")


@implementer(IHeadResource)
class ReverseProxy(Resource):
    """Answers with what a member of a cluster replies. All methods are called in the reactor thread."""

    isLeaf = True

    def __init__(self, way: Way) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.way = way
        if way.cache is not None:
            way.cache.ask = self._ask

    def at_head(self, request: Any) -> bool:
        """Have the body collected first, unless the mount says otherwise: a member should not wait for it.

        A request for another protocol goes to a member at once.
        """
        way = self.way
        switches = request.upgrade and tunnelled(request.upgrade)
        if not switches and (way.buffer or request.body_length == 0):
            return False
        try:
            if _leads_elsewhere(request.path):
                request.fail(400, detail=_UPWARDS_DETAIL)
            elif switches:
                self._switch(request, switches)
            else:
                self._stream(request)
        except UnsendableError:
            request.fail(400)
        return True

    def _switch(self, request: Any, protocols: bytes) -> None:
        message = Message(self.way, request, switching=protocols)
        cache = self.way.cache
        follower = None if cache is None else cache.follow(request)
        exchange = Exchange(self.way, request, message, follower=follower)
        message.switch = exchange.switch
        exchange.start()

    def _stream(self, request: Any) -> None:
        body = PushedBody(request.body_length)
        message = Message(self.way, request, stream=body)
        request.stream_body(body, request.body_max)
        if not request.status_code:  # else it is refused already
            cache = self.way.cache
            follower = None if cache is None else cache.follow(request)
            Exchange(self.way, request, message, follower=follower).start()

    def render(self, request: Any) -> int:
        """Ask a member."""
        cache = self.way.cache
        if _leads_elsewhere(request.path):
            request.fail(400, detail=_UPWARDS_DETAIL)
        elif cache is None:
            self._ask(request)
        else:
            cache.take(request)
        return NOT_DONE_YET

    def _ask(self, request: Any, follower: Follower | None = None) -> None:
        way = self.way
        body, stream, file = _collected(request)
        headers = None if follower is None else follower.headers
        try:
            message = Message(way, request, body, stream, headers=headers)
        except UnsendableError:
            if file is not None:
                file.close()
            if follower is not None:
                follower.left()
            request.fail(400)
        else:
            Exchange(way, request, message, file, follower).start()


def _leads_elsewhere(path: bytes) -> bool:
    # Most paths cannot: that is found out in a tenth of the time.
    can = path.find(b"/.") >= 0 or PERCENT in path or _BACKSLASH in path
    return can and _UPWARDS.search(path) is not None


def _collected(request: Any) -> tuple[bytes, StreamedBody | None, Any]:
    """Return the body of a request: a small one, or else one that is read as it is sent; and its file."""
    file = request.take_body()
    if file is None:
        return b"", None, None
    source = FileSource.of(file, "the body")
    assert source.length is not None
    if source.length > PIECE:
        return b"", StreamedBody((source,)), file
    with file:
        return file.read(), None, None
