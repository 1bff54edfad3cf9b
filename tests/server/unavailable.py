"""A resource that refuses each request before its body is read."""

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from skitai.interfaces import IHeadResource


@implementer(IHeadResource)
class Unavailable(Resource):
    isLeaf = True

    def at_head(self, request):
        request.fail(503)
        return True

    def render(self, request):
        request.fail(503)
        return NOT_DONE_YET
