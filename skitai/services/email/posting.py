"""One ``send()``: what it does, in a thread of the app or of a pool, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from twisted.internet.defer import Deferred, fail, maybeDeferred

from skitai.calls.step import Step
from skitai.errors import CODE_BUSY, OperationError, UnsentError
from skitai.services.run.result import RunResult

if TYPE_CHECKING:
    from skitai.calls.call import Call
    from skitai.calls.result import Result
    from skitai.loop.pool import ThreadPool
    from skitai.mail.message import Draft, Mail
    from skitai.services.email.outbox import Outbox


class PostResult(RunResult):
    """The outcome of ``send()``: ``data`` is the id of the mail. ``error`` is what prevented it."""

    @classmethod
    def failed(cls, error: BaseException, node: Any = None, target: str | None = None) -> Self:
        """Return the result for ``error``, which is raised as it is: an OSError tells of the disk."""
        if isinstance(error, OperationError):
            return super().failed(error, node, target)
        return cls.raised(error)


class Posting(Step):
    """Puts ``draft`` into ``outbox``. ``call`` is set as soon as there is one, ``mail`` when it is done."""

    def __init__(self, draft: Draft, outbox: Outbox, pool: ThreadPool) -> None:
        self._draft = draft
        self._outbox = outbox
        self._pool = pool
        self.call: Call | None = None
        self.mail: Mail | None = None

    def post(self) -> PostResult:
        """Compose the mail and write it. Called in a thread that may wait for a disk."""
        return self._done(self._outbox.write)

    def perform(self, service: Any, node: Any) -> Deferred[Any]:  # noqa: ARG002 - there is one spool
        """Have it done in a thread of the pool. Called in the reactor thread."""
        if self._pool.is_full:
            text = f"too many mails wait to be written: {self._pool.queue_max}"
            return fail(UnsentError(text, code=CODE_BUSY))
        return self._pool.run(self.post)

    def rehearse(self, reply: Callable[[], Deferred[Any]]) -> Deferred[Any]:  # noqa: ARG002 - no script needed
        """Compose the mail, and write nothing."""
        return maybeDeferred(self._done, lambda _mail: None)

    def _done(self, write: Callable[[Mail], None]) -> PostResult:
        try:
            mail = self._outbox.composed(self._draft)
            # Who has given up may send it again.
            if self.call is None or not self.call.over:
                write(mail)
                self.mail = mail
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for who waits
            return PostResult.raised(error)
        return PostResult(mail.envelope.id)


def raising(result: Result) -> Result:
    """Return ``result``, or raise what prevented the mail: a filter of calls. Nobody must overlook that."""
    result.reraise()
    return result
