"""What is mounted: it hands each request to an exchange with the members of its cluster."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from skitai.interfaces import IHeadResource
from skitai.services.http.filesource import PIECE, FileSource
from skitai.services.http.streaming import StreamedBody
from skitai.services.proxy.exchange import Exchange
from skitai.services.proxy.message import Message

if TYPE_CHECKING:
    from skitai.services.proxy.way import Way

#: A segment ``..``, which the member might follow to where the mount does not lead.
_UPWARDS = re.compile(rb"(?:/|\\|%2f|%5c)(?:\.|%2e){2}(?:/|\\|%2f|%5c|;|\Z)", re.IGNORECASE)


@implementer(IHeadResource)
class ReverseProxy(Resource):
    """Answers with what a member of a cluster replies. All methods are called in the reactor thread."""

    isLeaf = True

    def __init__(self, way: Way) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.way = way

    def at_head(self, request: Any) -> bool:  # noqa: ARG002 - of the interface
        """Have the body collected first: a member should not wait for a slow client."""
        return False

    def render(self, request: Any) -> int:
        """Ask a member."""
        if _leads_elsewhere(request.path):
            request.fail(400)
            return NOT_DONE_YET
        way = self.way
        if way.cache is None or not way.cache.answers(request):
            body, stream, file = _collected(request)
            Exchange(way, request, Message(way, request, body, stream), file).start()
        return NOT_DONE_YET


def _leads_elsewhere(path: bytes) -> bool:
    return (b".." in path or b"%2" in path) and _UPWARDS.search(path) is not None


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
