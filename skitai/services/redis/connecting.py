"""The way from the settings to a connection that has logged in and answers."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory

from skitai.errors import CODE_TIMEOUT, TIMEOUT, UnsentError

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from skitai.interfaces import IConnector
    from skitai.services.redis.driver import Commands
    from skitai.services.redis.settings import Settings

NEEDED = "Redis needs txredisapi and hiredis: pip install 'skitai[redis]'"


def has_driver() -> bool:
    """Whether the packages are installed that make connections."""
    return all(map(find_spec, ("txredisapi", "hiredis")))


def connect(
    reactor: Any, connector: IConnector, settings: Settings, make: Callable[[], Commands]
) -> Deferred[Any]:
    """Fire with the protocol of ``make()``, connected, logged in, with its database chosen, and answering.

    Fails with OperationError, at the latest after the settings' ``connect_timeout``. Cancelling closes the
    socket. Called in the reactor thread.
    """

    def tell(failure: Failure) -> Failure:
        if isinstance(failure.value, defer.TimeoutError):
            text = f"no answer within {settings.connect_timeout:g} s"
            raise UnsentError(text, code=CODE_TIMEOUT, status=TIMEOUT, node=settings.node) from None
        return failure

    connecting = Deferred.fromCoroutine(_connect(connector, settings, make))
    return connecting.addTimeout(settings.connect_timeout, reactor).addErrback(tell)


async def _connect(connector: IConnector, settings: Settings, make: Callable[[], Commands]) -> Commands:
    protocol: Commands = await connector.connect(settings.node, Factory.forProtocol(make))
    try:
        if settings.password is not None:
            user = () if settings.user is None else (settings.user,)
            await protocol.ask("AUTH", *user, settings.password)
        if settings.database:
            await protocol.ask("SELECT", settings.database)
        await protocol.ask("PING")  # it may want a login, or be loading its data still
    except BaseException:
        protocol.abort("the connection was given up")
        raise
    return protocol
