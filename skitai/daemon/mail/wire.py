"""One connection to an SMTP server (RFC 5321): commands and replies, with limits on time and length."""

from __future__ import annotations

import base64
import hmac
import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

#: The documented codes of what no server has said: no answer in time, one that is none, the connection was
#: lost, there was none.
CODE_TIMEOUT, CODE_BAD_REPLY, CODE_LOST, CODE_NOT_CONNECTED = 800, 801, 802, 900

#: What one reply may have in all, and one line of it: a server that never ends must not fill the memory.
_REPLY_MAX, _LINE_MAX = 64 * 1024, 8192
#: What is written at once. Each write has the time-out anew, so that a slow line does not end a large mail.
_CHUNK = 256 * 1024
#: Seconds for a refusal that was said before the end of a message, and is here already or lost.
_EARLY_SECONDS = 1.0
_REFUSALS = 400
#: A shorter word in a reply to a login is no password.
_SECRET_MIN = 4
#: What stands around a password of PLAIN, and a token.
_SECRET_ENDS = re.compile(rb"[\0\1]|auth=Bearer ")
_REPLY_SHOWN = 500
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5")
#: The replies to AUTH that tell of the mechanism and not of the password (RFC 4954, section 6).
_OTHER_MECHANISM = (504, 534)
_GO_ON, _LOGGED_IN = 334, 235
_NO_ANSWER = "the server did not answer in time"
#: What OpenSSL says where the greeting of SMTP is in place of TLS; the second is that of 3.2 and later.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")


class Reply(NamedTuple):
    """What a server has said: a code, and a line without control characters."""

    code: int
    text: str

    @property
    def is_good(self) -> bool:
        """Whether the code is 2yz."""
        return 200 <= self.code < 300

    @property
    def is_refusal(self) -> bool:
        """Whether the code is 5yz: the same again would be refused again."""
        return 500 <= self.code < 600


class BrokenError(Exception):
    """The conversation has ended: ``reply`` has one of our own codes, or is the last that was said."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        super().__init__(f"{reply.code} {reply.text}")


def clean(text: str) -> str:
    """Return a server's words as one line of moderate length, without control characters."""
    if not text.isprintable():
        text = _CONTROLS.sub(" ", text)
    return text[:_REPLY_SHOWN].strip()


def reason_of(error: OSError) -> str:
    """Return what went wrong, in the words of the system."""
    return clean(error.strerror or str(error) or type(error).__name__)


class Wire(smtplib.SMTP):
    """A connection, from its greeting on. Used in one thread; ``abort`` may be called in any.

    Every method raises BrokenError when the conversation has ended, and the connection is closed then.
    """

    def __init__(self, helo: str, timeout: float) -> None:
        super().__init__(local_hostname=helo, timeout=timeout)
        self.sock: socket.socket | None = None
        self._aborted = False

    # -- the connection ------------------------------------------------------------------------------------

    def open(self, host: str, port: int, secured: Callable[[socket.socket], socket.socket] | None) -> Reply:
        """Connect, and return the greeting; ``secured`` wraps the socket in TLS first, for SMTPS."""
        try:
            self.sock = socket.create_connection((host, port), self.timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if secured is not None:
                self.sock = secured(self.sock)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label of the name is empty or too long
            self.close()
            words = reason_of(error) if isinstance(error, OSError) else "the name is none"
            if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
                words += "; it does not begin with TLS: with ssl = no, STARTTLS is used"
            text = f"cannot connect to {host}:{port}: {words}"
            raise BrokenError(Reply(CODE_NOT_CONNECTED, text)) from None
        try:
            return self.read_reply()
        except BrokenError as error:
            if secured is None and error.reply.text == _NO_ANSWER:  # it may wait for us, as TLS has it
                text = "the server did not greet in time: if its port begins with TLS, ssl = yes is needed"
                raise BrokenError(Reply(CODE_TIMEOUT, text)) from None
            raise

    def secure(self, secured: Callable[[socket.socket], socket.socket]) -> None:
        """Go on in TLS, after STARTTLS was granted. What was said before is forgotten (RFC 3207)."""
        assert self.sock is not None
        try:
            if self.file is not None:  # with whatever somebody has sent ahead of TLS
                self.file.close()
                self.file = None
            self.sock = secured(self.sock)
        except OSError as error:
            self.close()
            raise BrokenError(Reply(CODE_NOT_CONNECTED, f"TLS: {reason_of(error)}")) from None
        self.esmtp_features, self.ehlo_resp, self.helo_resp, self.does_esmtp = {}, None, None, False

    @property
    def is_secure(self) -> bool:
        """Whether the connection is encrypted."""
        return isinstance(self.sock, ssl.SSLSocket)

    def abort(self) -> None:
        """Have the thread that waits for the server fail at once."""
        self._aborted = True
        sock = self.sock
        if sock is not None:
            with suppress(OSError):  # it is closed already
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    # -- commands and replies ------------------------------------------------------------------------------

    def ask(self, command: str, arguments: str = "") -> Reply:
        """Send a command; return the reply. Raises ValueError for a line end in it."""
        self.putcmd(command, arguments)
        return self.read_reply()

    def greet(self) -> Reply:
        """Say EHLO, or HELO to who does not know that."""
        code, text = self.ehlo()
        if 500 <= code < 600:
            code, text = self.helo()
        return self._checked(code, text)

    def send_data(self, data: bytes, patience: float) -> Reply:
        """Send a message whose lines end with CRLF, the last one, too, after 354; return the reply.

        ``patience`` is what the server has for that, in seconds. One that refuses the message before its end
        and closes the connection has said so, too.
        """
        if data.startswith(b".") or b"\n." in data:
            data = (b"." if data.startswith(b".") else b"") + data.replace(b"\n.", b"\n..")
        if self.sock is None:
            raise self._broken(None)
        try:
            for start in range(0, len(data), _CHUNK):
                end = start + _CHUNK
                self.sock.sendall(data[start:end] + (b".\r\n" if end >= len(data) else b""))
        except OSError as error:
            raise self._early(error) from None
        self.set_timeout(patience)
        reply = self.read_reply()
        self.set_timeout(self.timeout)
        return reply

    def _early(self, error: OSError) -> BrokenError:
        """Return the end of a connection that took no more of a message: with a refusal, if there is one."""
        self.set_timeout(_EARLY_SECONDS)
        with suppress(BrokenError):
            reply = self.read_reply()
            if reply.code >= _REFUSALS:
                self.close()
                return BrokenError(reply)
        return self._broken(error)

    def read_reply(self) -> Reply:
        """Return the next reply; one with a code out of order ends the conversation."""
        return self._checked(*self.getreply())

    def _checked(self, code: int, text: bytes) -> Reply:
        if 200 <= code < 600:
            return Reply(code, clean(text.decode("utf-8", "replace")))
        self.close()
        raise BrokenError(Reply(CODE_BAD_REPLY, f"not a reply of SMTP: {clean(text.decode('latin-1'))}"))

    def getreply(self) -> tuple[int, bytes]:
        """Return code and text; -1 stands for no code at all."""
        if self.sock is None:
            raise self._broken(None)
        if self.file is None:
            self.file = self.sock.makefile("rb")
        lines: list[bytes] = []
        size = 0
        while True:
            try:
                line = self.file.readline(_LINE_MAX + 1)
            except (OSError, ValueError) as error:
                raise self._broken(error) from None
            if not line.endswith(b"\n") and len(line) <= _LINE_MAX:
                raise self._broken(None)  # the end came within the line, or before it
            size += len(line)
            code, mark, text = line[:3], line[3:4], line[4:].strip(b" \t\r\n")
            if len(line) > _LINE_MAX or size > _REPLY_MAX or len(code) < 3 or not code.isdigit():
                return -1, line
            lines.append(text)
            if mark != b"-":
                return int(code), b"\n".join(lines)

    def send(self, s: Any) -> None:
        """Write all of it."""
        if self.sock is None:
            raise self._broken(None)
        data = s.encode(self.command_encoding) if isinstance(s, str) else s
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise self._broken(error) from None

    def set_timeout(self, seconds: float) -> None:
        """Set how long the server may take for one answer from now on."""
        if self.sock is not None:
            self.sock.settimeout(seconds)

    def _broken(self, error: Exception | None) -> BrokenError:
        self.close()
        if self._aborted:
            return BrokenError(Reply(CODE_TIMEOUT, "it took too long, or the agent stops"))
        if isinstance(error, TimeoutError):
            return BrokenError(Reply(CODE_TIMEOUT, _NO_ANSWER))
        why = f": {reason_of(error)}" if isinstance(error, OSError) else ""
        return BrokenError(Reply(CODE_LOST, f"the server has closed the connection{why}"))

    # -- logging in (RFC 4954) -----------------------------------------------------------------------------

    def log_in(self, user: str, password: str) -> Reply:
        """Log in by a mechanism that the server offers; return its last reply.

        The password itself goes over the line with PLAIN and LOGIN: for the caller to decide. A wrong one is
        said once, not with each mechanism: servers count.
        """
        offered = self.esmtp_features.get("auth", "").upper().split()
        ranked = _MECHANISMS if self.is_secure else _MECHANISMS[::-1]
        known = [mechanism for mechanism in ranked if mechanism in offered]
        reply = Reply(504, f"no login that we know, but: {clean(' '.join(offered)) or 'none'}")
        for mechanism in known:
            reply = self._log_in_by(mechanism, user.encode(), password.encode())
            if reply.code not in _OTHER_MECHANISM:
                break
        return reply

    def log_in_with_token(self, user: str, token: str) -> Reply:
        """Log in by XOAUTH2, an OAuth 2.0 bearer token."""
        answer = f"user={user}\1auth=Bearer {token}\1\1".encode()
        return self._answered("XOAUTH2", answer, lambda _error: b"")  # an empty answer brings the refusal

    def _log_in_by(self, mechanism: str, user: bytes, password: bytes) -> Reply:
        if mechanism == "PLAIN":
            return self._answered("PLAIN", b"\0" + user + b"\0" + password)
        if mechanism == "LOGIN":
            answers = iter([user, password])
            return self._answered("LOGIN", None, lambda _question: next(answers, b""))
        return self._answered(
            "CRAM-MD5", None, lambda task: user + b" " + hmac.new(password, task, "md5").hexdigest().encode()
        )

    def _answered(
        self, mechanism: str, first: bytes | None, answer: Callable[[bytes], bytes] | None = None
    ) -> Reply:
        told = [] if first is None else [_base64(first)]
        code, text = self.docmd("AUTH", " ".join([mechanism, *told]))
        for _ in range(3):
            if code != _GO_ON:
                break
            try:
                task = base64.b64decode(text)
            except ValueError:
                task = b""
            told.append(_base64(answer(task) if answer else b""))
            code, text = self.docmd(told[-1])
        return self._checked(code, _without(told, text))


def logged_in(reply: Reply) -> bool:
    """Return whether ``reply`` lets us in."""
    return reply.code == _LOGGED_IN


def _without(told: Iterable[str], text: bytes) -> bytes:
    """Return a reply to a login without what it was told, encoded or not: some servers say it again."""
    secrets = [word.encode() for word in told]
    secrets += [part for word in told for part in _SECRET_ENDS.split(base64.b64decode(word))]
    for secret in secrets:
        if len(secret) >= _SECRET_MIN:
            text = text.replace(secret, b"***")
    return text


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
