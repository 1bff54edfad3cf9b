"""``was.email``: an app's arguments become a mail to fill and to send."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from skitai.calls.raising import called_as
from skitai.calls.result import Result
from skitai.calls.service import OwnNode, Service
from skitai.mail.addresses import parse_address, parse_addresses
from skitai.mail.fields import decoded
from skitai.mail.message import Draft
from skitai.mail.words import checked_text
from skitai.services.email.email import Email
from skitai.services.email.posting import Posting, PostResult
from skitai.services.email.words import EMAIL

if TYPE_CHECKING:
    from skitai.calls.operation import Operation
    from skitai.loop.bridge import Bridge
    from skitai.loop.pool import ThreadPool
    from skitai.services.email.outbox import Outbox

_NODE = OwnNode("spool")


class EmailService(Service):
    """``was.email(subject, snd, rcpt)``: ``outbox`` takes the mail, ``pool`` has threads for greenlets."""

    result_type: type[Result] = PostResult

    def __init__(self, outbox: Outbox, pool: ThreadPool, bridge: Bridge) -> None:
        self._outbox = outbox
        self._pool = pool
        self._bridge = bridge

    def begin(self, submit: Callable[[Operation], Any], /, *args: Any, **kwargs: Any) -> Email:
        """Return the mail that submits when it is sent. The arguments are those of ``opening``."""
        draft = called_as("was.email()", self.opening, EMAIL, *args, **kwargs)
        return Email(draft, lambda draft: Posting(draft, self._outbox, self._pool), submit, self._bridge)

    def opening(
        self,
        subject: str,
        snd: str,
        rcpt: Any,
        cc: Any = None,
        bcc: Any = None,
        reply_to: Any = None,
    ) -> Draft:
        """Return the draft of a mail from ``snd`` to ``rcpt``.

        Recipients are one address, several in a text with commas between them, or a list; those in ``bcc`` do
        not appear in the message. Raises TypeError or ValueError that names the wrong argument. Called in the
        app's thread.
        """
        draft = Draft(
            decoded(checked_text(subject, "subject")).strip(),
            parse_address(snd, "snd"),
            parse_addresses(rcpt, "rcpt"),
            parse_addresses(cc, "cc"),
            parse_addresses(bcc, "bcc"),
            parse_addresses(reply_to, "reply_to"),
        )
        if not (draft.to or draft.cc or draft.bcc):
            raise ValueError("rcpt: the mail has no recipient")
        return draft

    def node(self, target: str) -> OwnNode:  # noqa: ARG002 - there is one
        """Return the one node."""
        return _NODE

    def perform(self, node: Any, operation: Operation) -> Deferred[Any]:
        """Put the mail into the spool, in a thread. Called in the reactor thread."""
        posting: Posting = operation.request
        return posting.perform(self, node)
