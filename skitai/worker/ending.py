"""How a worker stops: requests first, then apps and plugins, each within its time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet import defer
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from skitai.calls.dispatch import Dispatcher
    from skitai.interfaces import IInstance
    from skitai.net.listening import Listening
    from skitai.server.http1.factory import HTTPFactory
    from skitai.worker.assembly import SiteBuilder

_log = Logger()

#: Seconds that an app whose waits were ended has for its answer.
_LAST_WORDS_SECONDS = 1.0
#: Seconds that a connection needs to begin: with a client on this machine, and with one that is far away.
_NEAR_SECONDS, _FAR_SECONDS = 0.03, 0.2
#: Seconds in which the last request of a connection may come.
_QUIET_SECONDS = 0.25
#: Seconds between two checks whether apps are done.
_LOOK_SECONDS = 0.02


@inlineCallbacks
def stop_listening(
    reactor: Any, factory: HTTPFactory, ports: Sequence[Listening], *, goes_on: bool = False
) -> Any:
    """Accept what has begun to connect, and close ``ports``; ``goes_on``: others accept from them.

    Returns a Deferred that fires when that is done, and those who are connected have had time to ask.
    Called in the reactor thread.
    """
    ports = [listening for listening in ports if listening.is_open]
    if goes_on:
        for listening in ports:
            listening.leave_to_others()
    else:
        factory.stopping = True  # those who come now are told that their requests are the last
        seconds = _NEAR_SECONDS if all(listening.is_near for listening in ports) else _FAR_SECONDS
        for listening in ports:
            listening.begin_nothing()
            listening.pause()  # others who accept from it may do so
        yield deferLater(reactor, seconds)
        for listening in ports:
            listening.accept_all()
    yield DeferredList([maybeDeferred(listening.port.stopListening) for listening in ports])
    until = reactor.seconds() + _QUIET_SECONDS
    while not goes_on and factory.channels and reactor.seconds() < until:
        yield deferLater(reactor, _LOOK_SECONDS)


@inlineCallbacks
def end_requests(
    instance: IInstance,
    factory: HTTPFactory,
    builder: SiteBuilder,
    dispatcher: Dispatcher,
    seconds: float,
    idle_seconds: float = 0.0,
) -> Any:
    """Let the requests under way end: after ``seconds`` their waits are ended, a second later they are cut.

    ``idle_seconds`` are what a connection without a request gets for one, ``seconds`` at most.

    Returns a Deferred that fires when no request is under way and no app runs. Called in the reactor thread.
    """
    reactor = instance.reactor
    end_of_calls = reactor.callLater(seconds, dispatcher.end_calls)
    end_of_connections = reactor.callLater(seconds + _LAST_WORDS_SECONDS, factory.abort)
    yield factory.finish(min(idle_seconds, seconds))
    builder.stop_loading()  # nobody waits for an app any more
    # An app may have something to do after its last byte.
    while instance.executors.is_busy() and end_of_connections.active():
        yield deferLater(reactor, _LOOK_SECONDS)
    for timer in (end_of_calls, end_of_connections):
        if timer.active():
            timer.cancel()


def tell(instance: IInstance, hook: str, seconds: float) -> Deferred[Any]:
    """Tell the plugins of the end by ``hook``; return a Deferred that waits for theirs, ``seconds`` at most.

    What takes longer or fails is logged. Called in the reactor thread.
    """
    given = instance.plugins.notify(hook, instance=instance)
    farewells = [farewell for farewell in given if isinstance(farewell, Deferred)]
    for farewell in farewells:
        farewell.addTimeout(seconds, instance.reactor).addErrback(_log_farewell)
    return DeferredList(farewells)


def _log_farewell(failure: Failure) -> None:
    if failure.check(defer.TimeoutError):  # type: ignore[no-untyped-call]
        _log.error("a plugin took too long to shut down")
    else:
        _log.failure("a plugin failed to shut down", failure, level=LogLevel.error)
