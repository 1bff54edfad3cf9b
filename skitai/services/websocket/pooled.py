"""An open websocket that carries one message and its reply at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from skitai.net.looking import look_at

if TYPE_CHECKING:
    import select

    from skitai.services.websocket.jobs import Exchange
    from skitai.services.websocket.opening import Opening
    from skitai.websocket.contracts import Wire
    from skitai.websocket.conversation import Message


class Owner(Protocol):
    """What a pooled websocket reports to. All of it is called in the reactor thread."""

    def at_turn_end(self, function: Callable[[], object]) -> None:
        """Call ``function`` when the reactor has read all that is there."""

    def replied(self, socket: PooledSocket, exchange: Exchange, message: Message) -> None:
        """Take the reply to a message; the websocket is free again, if it is in step."""

    def unasked(self, socket: PooledSocket) -> None:
        """Let go of the websocket: a message came that answers nothing."""

    def ended(self, socket: PooledSocket, code: int, reason: str) -> None:
        """Note the end, which nobody here has asked for."""


class PooledSocket:
    """A websocket over ``wire``: the ``Listener`` of it. All of it is called in the reactor thread.

    ``exchange`` is under way, None while it is idle; ``reused`` says that there was one before, and ``since``
    when the last one ended. It is not ``in_step`` when it has ended, or more has come than was asked for.
    When the owner has ``gone``, nothing is reported any more.
    """

    __slots__ = (
        "_look", "_owner", "_reply", "exchange", "gone", "in_step", "opening", "reused", "since", "wire",
    )  # fmt: skip

    def __init__(self, owner: Owner, opening: Opening, wire: Wire) -> None:
        self._owner = owner
        #: The reply that has come in this turn of the reactor.
        self._reply: Message | None = None
        self._look: select.poll | None = None
        self.opening = opening
        self.wire = wire
        self.exchange: Exchange | None = None
        self.reused = self.gone = False
        self.in_step = True
        self.since = 0.0

    def ask(self, exchange: Exchange) -> None:
        """Send the message of ``exchange``."""
        self.exchange = exchange
        self.wire.send(exchange.message)

    def is_quiet(self) -> bool:
        """Return whether the socket has nothing to read.

        That could be the peer's close, after which a message would be lost, or a message that nobody asked
        for, which must not be taken for the next reply.
        """
        if self._look is None:
            self._look = look_at(getattr(self.wire, "transport", None))
        return self._look is None or not self._look.poll(0)

    # Listener

    def received(self, message: Message) -> None:
        """Take a message: it is the reply, if one is due.

        It is handed over when the turn ends. Else the next message could be on its way when a second one is
        read that came with this one, which would be taken for the next reply.
        """
        if self.gone:
            return
        if self.exchange is None or self._reply is not None:
            self.in_step = False
            self._owner.unasked(self)
        else:
            self._reply = message
            self._owner.at_turn_end(self._hand_over)

    def drained(self) -> None:
        """Do nothing: the reply comes when the peer has read the message."""

    def ended(self, code: int, reason: str) -> None:
        """Report the end."""
        self.in_step = False
        self._look = None
        self._owner.ended(self, code, reason)

    @property
    def has_reply(self) -> bool:
        """Whether a reply has come, and is handed over when the turn ends."""
        return self._reply is not None

    def _hand_over(self) -> None:
        exchange, self.exchange = self.exchange, None
        reply, self._reply = self._reply, None
        if exchange is not None and reply is not None:  # it was not given up
            self.reused = True
            self._owner.replied(self, exchange, reply)
