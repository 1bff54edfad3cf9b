"""`ask()` is a view's `was.get(url).getwait(2)` whose answer is kept: what the cache costs by itself."""

from __future__ import annotations

from twisted.internet import reactor

from skitai.calls.dispatch import Dispatcher
from skitai.context import ServiceTable, Was
from skitai.loop.bridge import Bridge
from skitai.services.cache import MemoryCache
from skitai.services.http import ConnectionPool, HTTPService

URL = "http://upstream.example/kept"

_bridge = Bridge(reactor)
_dispatcher = Dispatcher(_bridge, {}, cache=MemoryCache(10, reactor.seconds))
_was = Was(ServiceTable(_dispatcher, {"get": HTTPService("GET", ConnectionPool(reactor))}, {}))


def ask():
    """Return the result, as a view gets it."""
    return _was.get(URL).getwait(2)


def _keep():
    # Nobody answers: the result of the service's own type is put where its answer would be kept.
    call = _was.get(URL)
    result = HTTPService.result_type(b"kept")
    call.settle(result)
    call.getwait(2).cache(3600)
    assert ask().is_cached


_keep()
