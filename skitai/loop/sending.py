"""Sends at the end of the reactor's turn what connections have written during it.

A response that is sent at once wakes its client, who reads that one response and sleeps again. Where client
and server have a core each, these wake-ups cost more than the responses do.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from twisted.logger import Logger

from skitai.loop.turn import Stage, turn_end_of

_log = Logger()

_SEND = Stage.SEND  # looking up the member of an Enum takes long

#: Sends what leaves at once, and returns how many bytes that is; raises OSError if none do.
Send = Callable[[bytes], int]

#: Seconds that a response may wait for others of the same turn.
_HOLD_SECONDS = 0.001
#: A wait of this many seconds shows that apps compute in the reactor's turn. Then everything is sent at once,
#: for this many times as long as the wait took: a request that an app makes early must leave before it
#: computes.
_LONG_WAIT_SECONDS, _EAGER_TIMES = 0.02, 20


def sender_of(transport: Any) -> Send | None:
    """Return what sends to the socket of ``transport`` at once; None if only ``transport`` itself can send.

    A socket of TLS must not be written to: where the transport is our own, that has a ``send``.
    """
    if hasattr(transport, "getHandle") and not hasattr(transport, "getPeerCertificate"):
        send: Send = transport.getHandle().send
        return send
    return getattr(transport, "send", None)


class Sender(Protocol):
    """A connection that has something to send."""

    def flush(self) -> None:
        """Send it."""


class SendQueue:
    """Flushes senders at the end of the reactor's turn. All methods are called in the reactor thread.

    No sender waits for more than one slow app. Once the first has waited for a millisecond, the next one that
    is added flushes all of them. If apps turn out to be slow, senders are flushed at once for a while.
    ``seconds`` is a monotonic clock.
    """

    __slots__ = ("_eager_until", "_oldest", "_seconds", "_senders", "_turn_end")

    def __init__(self, reactor: Any, seconds: Callable[[], float] = monotonic) -> None:
        self._turn_end = turn_end_of(reactor)
        self._seconds = seconds
        self._senders: list[Sender] = []
        self._oldest = self._eager_until = 0.0

    def add(self, sender: Sender) -> None:
        """Have ``sender`` flushed soon."""
        now = self._seconds()
        if now < self._eager_until:
            sender.flush()
            return
        senders = self._senders
        senders.append(sender)
        if len(senders) == 1:
            self._oldest = now
            self._turn_end.call(_SEND, self._flush)
        elif now - self._oldest > _HOLD_SECONDS:
            self._flush()

    def _flush(self) -> None:
        senders, self._senders = self._senders, []
        if not senders:  # they have left before the end of the turn
            return
        now = self._seconds()
        waited = now - self._oldest
        if waited > _LONG_WAIT_SECONDS:
            self._eager_until = now + _EAGER_TIMES * waited
        for sender in senders:
            try:
                sender.flush()
            except Exception:  # noqa: BLE001 - the others have nothing to do with it
                _log.failure("what was to leave at the end of the reactor's turn could not be sent")
