"""What everybody here sends commands to Redis through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import DeferredList, TimeoutError  # noqa: A004 - Twisted's own

from skitai.errors import OperationError, OperationTimeout
from skitai.services.redis.connecting import connect
from skitai.services.redis.health import Health
from skitai.services.redis.link import Link

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from skitai.interfaces import IConnector
    from skitai.services.redis.driver import Commands
    from skitai.services.redis.settings import Settings


class RedisClient:
    """One Redis: a connection for commands, and one for subscriptions where somebody wants that.

    The functions ``when_up`` are called whenever a connection for commands was made. Nothing is connected
    before ``start`` or the first command. All of it is called in the reactor thread.
    """

    def __init__(self, reactor: Any, connector: IConnector, settings: Settings) -> None:
        self.reactor = reactor
        self.settings = settings
        self._connector = connector
        self._health = Health(settings.label, reactor.seconds)
        self._commands = self._link("commands", _commands)
        self.when_up = self._commands.when_up
        self._subscriptions: Link | None = None

    def _link(self, name: str, make: Callable[[], Commands], *, bounded: bool = True) -> Link:
        connecting = partial(connect, self.reactor, self._connector, self.settings, make)
        return Link(self.reactor, name, connecting, self.settings.timeout, self._health, bounded=bounded)

    @property
    def is_up(self) -> bool:
        """Whether commands can be sent."""
        return self._commands.is_up

    def start(self) -> None:
        """Connect, if that has not begun."""
        self._commands.start()

    async def command(self, *words: bytes | str | int, timeout: float | None = None) -> Any:
        """Return the reply to a command: text is bytes. Commands are sent in the order of the calls.

        Raises UnsentError if Redis is away or too many commands are under way, OperationTimeout without an
        answer in ``timeout`` seconds (None: those of the settings), OperationError if Redis refuses or the
        connection is lost meanwhile; then nobody knows whether the command was carried out. Only the first
        connection is waited for.
        """
        seconds = self.settings.timeout if timeout is None else timeout
        try:
            return await self._commands.ask(*words).addTimeout(seconds, self.reactor)
        except TimeoutError:
            self._health.timeouts += 1
            text = f"{self.settings.label} has not answered within {seconds:g} s"
            raise OperationTimeout(text, node=self.settings.node) from None
        except OperationError as error:
            self._health.failures += 1
            error.node = self.settings.node
            raise

    async def script(
        self,
        script: str,
        keys: Sequence[bytes | str] = (),
        arguments: Sequence[bytes | str | int] = (),
        timeout: float | None = None,
    ) -> Any:
        """Return what a Lua script returns. Raises as ``command`` does.

        The text is sent each time. EVALSHA would fail after a restart or SCRIPT FLUSH, and what is repeated
        then comes behind what was sent later.
        """
        return await self.command("EVAL", script, len(keys), *keys, *arguments, timeout=timeout)

    def subscriptions(self, on_message: Callable[[bytes, bytes], None]) -> Link:
        """Return the link for subscriptions, to be started: ``on_message`` gets channel and data.

        Called once.
        """
        assert self._subscriptions is None, "the subscriptions have an owner"

        make = partial(_subscriptions, on_message)
        self._subscriptions = self._link("subscriptions", make, bounded=False)
        # Where one gets through, the other will, too.
        self._subscriptions.when_up.append(self._commands.hurry)
        self._commands.when_up.append(self._subscriptions.hurry)
        return self._subscriptions

    def close(self) -> Deferred[Any]:
        """Fail what is under way, and close the connections; fire when they are closed."""
        links = [link for link in (self._commands, self._subscriptions) if link is not None]
        return DeferredList([link.close() for link in links])

    def statistics(self) -> dict[str, Any]:
        """Return what the status page shows."""
        return self._health.statistics()


# The driver is imported where it is needed: a server without Redis does not load it.


def _commands() -> Commands:
    from skitai.services.redis.driver import Commands

    return Commands()


def _subscriptions(on_message: Callable[[bytes, bytes], None]) -> Commands:
    from skitai.services.redis.driver import Subscriptions

    protocol = Subscriptions()
    protocol.on_message = on_message
    return protocol
