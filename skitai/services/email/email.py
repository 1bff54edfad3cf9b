"""The mail that ``was.email`` returns: the app fills it, and sends it once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from os import PathLike
from typing import TYPE_CHECKING, Any, Never

from twisted.logger import Logger

from skitai.calls.operation import Operation
from skitai.context import current_view
from skitai.errors import FAILED, NORMAL, TIMEOUT, MisuseError
from skitai.loop.native import Lock
from skitai.mail.attachments import attachment
from skitai.mail.envelope import Server
from skitai.mail.fields import checked_name
from skitai.mail.message import Draft, Text
from skitai.mail.parts import charset_name, media_type
from skitai.mail.words import checked_text
from skitai.net.addresses import parse_host_port, with_port
from skitai.services.email import words
from skitai.services.email.posting import Posting, raising

if TYPE_CHECKING:
    from skitai.calls.call import Call
    from skitai.loop.bridge import Bridge

#: The target of calls, in messages and for ``FakeWas``.
TARGET = "spool"
_SMTP, _SMTPS = 25, 465
#: Header fields that the mail makes itself, and how an app says what is in them.
_OWN_FIELDS = {
    "from": "snd",
    "to": "rcpt",
    "cc": "cc",
    "bcc": "bcc",
    "reply-to": "reply_to",
    "subject": "subject",
}
#: Those that are the server's, or that would make another message of it.
_REFUSED_FIELDS = frozenset(
    {"date", "message-id", "mime-version", "received", "return-path", "dkim-signature"}
)
_REFUSED_BEGINNINGS = ("content-", "resent-", "arc-")
_SECOND = "this mail {}: make another one with was.email()"

_log = Logger()


class Email:
    """A mail that is not sent yet. Wrong arguments raise TypeError or ValueError, which names the argument.

    Once it is sent, nothing can be added: that raises MisuseError.

    ``make(draft)`` returns the ``Posting`` of a draft, ``submit`` starts its operation.
    """

    def __init__(
        self,
        draft: Draft,
        make: Callable[[Draft], Posting],
        submit: Callable[[Operation], Call],
        bridge: Bridge,
    ) -> None:
        self._draft = draft
        self._make = make
        self._submit = submit
        self._bridge = bridge
        self._call: Call | None = None
        self._sending = Lock()

    def set_smtp(
        self, server: str, user: str = "", password: str = "", ssl: bool = False, **others: Never
    ) -> None:
        """Have the mail sent by ``server``, ``host[:port]``, instead of the one in the config.

        With a ``user`` the agent logs in. ``ssl``: TLS from the first byte, as on port 465. The password
        stands in the spool until the mail is sent.
        """
        words.SET_SMTP.refuse("set_smtp()", others)
        try:
            host, port = parse_host_port(checked_text(server, "server"), _SMTPS if ssl else _SMTP)
        except ValueError as error:
            text = str(error)
            raise ValueError(text if text.startswith("server") else f"server: {text}") from None
        user, password = checked_text(user or "", "user"), _checked_password(password or "")
        self._unsent.server = Server(with_port(host, port), user, password, bool(ssl))

    def add_text(
        self, text: str, mimetype: str = "text/plain", charset: str = "utf-8", **others: Never
    ) -> None:
        """Add the text of the mail, or, with another ``mimetype``, the same text in another form.

        Beside HTML there should be a plain text; without one, it is made of the HTML. A second text of the
        same type stands below the first.
        """
        words.ADD_TEXT.refuse("add_text()", others)
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, not {text!r:.80}")
        kind, subtype = media_type(mimetype)
        if kind != "text":
            raise ValueError(f"mimetype: {mimetype} is no text: use add_attachment")
        self._unsent.texts.append(Text(text, subtype, charset_name(charset)))

    def render(self, template: str, /, *values: Mapping[str, Any], **named: Any) -> None:
        """Add a template of the Saddle app as HTML, with the variables in ``values`` or ``named``.

        Called where the app serves a request; MisuseError elsewhere. Others give ``add_text`` what their
        framework renders.
        """
        view = current_view.get(None)
        if view is None:
            raise MisuseError("e.render is for requests of a Saddle app: give what you render to e.add_text")
        self.add_text(view.render(template, *values, **named), "text/html")

    def add_attachment(
        self,
        path_or_bytes: str | PathLike[str] | bytes | bytearray | memoryview,
        mimetype: str | None = None,
        name: str | None = None,
        cid: str | None = None,
        **others: Never,
    ) -> None:
        """Attach a file, which is read by ``send()``, or bytes, which need a ``name``.

        With a ``cid`` it is a picture of the HTML, which shows it by ``<img src="cid:...">``.
        """
        words.ADD_ATTACHMENT.refuse("add_attachment()", others)
        draft = self._unsent
        new = attachment(path_or_bytes, mimetype, name, cid)
        if new.cid and any(other.cid == new.cid for other in draft.attachments):
            raise ValueError(f"cid: there is a part {new.cid!r} already")
        draft.attachments.append(new)

    def set_header(self, name: str, value: str) -> None:
        """Set a header field, such as ``List-Unsubscribe``; it replaces an earlier one of that name."""
        name = checked_name(name)
        key = name.lower()
        if key in _OWN_FIELDS:
            raise ValueError(f"name: {name} is what was.email() takes as {_OWN_FIELDS[key]}")
        if key in _REFUSED_FIELDS or key.startswith(_REFUSED_BEGINNINGS):
            raise ValueError(f"name: {name} cannot be set: the mail gets its own")
        self._unsent.headers[key] = name, checked_text(value, "value")

    def send(self) -> Call:
        """Put the mail into the spool, and return when it is safe there: the agent sends it soon.

        Returns a call that is over; its result has the id of the mail as ``data``. A coroutine writes
        ``await e.send()`` and gets that result. Raises OSError if a disk is full or a file cannot be read,
        ValueError if the mail is too large or has no content, and MisuseError if it was sent before. It can
        be sent again if that failed.
        """
        if not self._sending.acquire(blocking=False):  # in another thread
            raise MisuseError(_SECOND.format("is being sent"))
        try:
            call = self._begin()
        finally:
            self._sending.release()
        call.collected = True  # a mail does not end with the request
        if call.status == NORMAL:
            return call
        if call.over or self._bridge.may_wait():
            call.getwait(inf)
        else:
            call.on_end(lambda: _log_failure(call))
        return call

    @property
    def _unsent(self) -> Draft:
        """The draft; raises MisuseError if it was sent."""
        if self._call is not None and self._call.status != FAILED:
            how = "may be in the spool" if self._call.status == TIMEOUT else "was sent already"
            raise MisuseError(_SECOND.format(how))
        return self._draft

    def _begin(self) -> Call:
        posting = self._make(self._unsent.copied())
        operation = Operation(TARGET, posting, local=True, here=posting.post, filter=raising)
        call = self._call = posting.call = self._submit(operation)
        return call

    def __repr__(self) -> str:
        recipients = ", ".join(self._draft.recipients)
        return f"<Email {self._draft.subject!r} to {recipients}>"


def _checked_password(password: str) -> str:
    """Return ``password``; what is raised does not show it."""
    if not isinstance(password, str):
        raise TypeError("password must be a str")
    return checked_text(password, "password")


def _log_failure(call: Call) -> None:
    """Log that a mail was not spooled: a coroutine may have forgotten to await that."""
    result = call.original
    if result.status == FAILED:
        _log.error("was.email: a mail is not in the spool: {msg}", msg=result.msg)
