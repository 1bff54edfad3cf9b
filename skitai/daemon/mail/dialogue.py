"""The dialogue with one SMTP server (RFC 5321): what becomes of each recipient of each mail."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from email import message_from_bytes, policy
from time import monotonic
from typing import Protocol

import attrs

from skitai.daemon.mail.relays import Relay
from skitai.daemon.mail.tokens import LoginError
from skitai.daemon.mail.wire import CODE_NOT_CONNECTED, BrokenError, Reply, Wire, clean, logged_in, reason_of
from skitai.mail.state import RecipientOutcome

#: The final dot may take this many times longer than other steps: giving up there sends a mail twice (RFC
#: 5321, section 4.5.3.2.6, has ten minutes, which are ten times our default).
_FINAL_PATIENCE = 10
#: Seconds of one mail in all, besides one for each 10 KB and some for each recipient: a server that trickles
#: must not hold it for ever, one that thinks about each of a thousand recipients may.
_MAIL_STEPS, _SLOWEST_BYTES, _RECIPIENT_SECONDS = 20, 10_000, 10
#: Seconds that a server has to say goodbye.
_QUIT_SECONDS = 5.0
#: RFC 5321, section 4.5.3.1.10: too many recipients, perhaps only for one mail.
_TOO_MANY = (452, 552)
_CLOSING = 421
#: What is about our login and not about the mail.
_LOGIN_CODES = (530, 534, 535, 538)
_OUR_REFUSAL = 554


class UnavailableError(Exception):
    """The server takes no mail at all now. ``is_login``: because it does not let us in."""

    def __init__(self, reply: Reply, *, is_login: bool = False) -> None:
        self.reply = reply
        self.is_login = is_login
        super().__init__(f"{reply.code} {reply.text}")


class ImpossibleError(Exception):
    """What a mail names for its server is none."""


class StaleError(Exception):
    """A connection that has served mails before has ended; a new one may do."""


@attrs.frozen
class Letter:
    """One mail as the dialogue needs it: ``data`` has line ends of any kind."""

    id: str
    sender: str
    recipients: Sequence[str]
    data: bytes = attrs.field(repr=False)
    needs_utf8: bool = False


class Carrier(Protocol):
    """What takes mail to where it goes. Used in one thread, but for ``abort`` and ``deadline``."""

    #: When ``abort`` is due, by the clock of the carrier (monotonic); None while nothing is under way.
    deadline: float | None

    def open(self, is_ending: Callable[[], bool]) -> None:
        """Get ready; raises UnavailableError. A command that is run for it is killed when ``is_ending()``."""

    def deliver(self, letter: Letter) -> list[RecipientOutcome]:
        """Return what became of each recipient; raises UnavailableError and StaleError, if nothing did."""

    @property
    def is_open(self) -> bool:
        """Whether another mail can follow."""

    def close(self) -> None:
        """Take leave."""

    def abort(self) -> None:
        """End what is under way; called in any thread."""


class Dialogue:
    """A carrier that speaks with ``relay``; ``sign`` adds what is to stand before the message (DKIM)."""

    def __init__(
        self,
        relay: Relay,
        sign: Callable[[bytes, str], bytes] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._relay = relay
        self._sign = sign
        self._clock = clock
        self._wire = Wire(relay.helo, relay.timeout)
        self._served = 0
        self.deadline: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether another mail can follow."""
        return self._wire.sock is not None

    def close(self) -> None:
        """Say QUIT and close."""
        if self.is_open:
            self.deadline = self._clock() + _QUIT_SECONDS  # its words must not come for ever
            self._wire.set_timeout(min(_QUIT_SECONDS, self._relay.timeout))
            with suppress(BrokenError):
                self._wire.ask("QUIT")
            self._wire.close()
            self.deadline = None

    def abort(self) -> None:
        """End what is under way; called in any thread."""
        self._wire.abort()

    # -- before the first mail -----------------------------------------------------------------------------

    def open(self, is_ending: Callable[[], bool] = lambda: False) -> None:
        """Connect, greet, secure the connection and log in; raises UnavailableError.

        The command that gets a token is killed as soon as ``is_ending()``.
        """
        self.deadline = self._clock() + _MAIL_STEPS * self._relay.timeout
        try:
            self._open(is_ending)
        except BrokenError as error:
            raise UnavailableError(error.reply) from None
        except UnavailableError:
            self.close()
            raise
        finally:
            self.deadline = None

    def _open(self, is_ending: Callable[[], bool]) -> None:
        relay = self._relay
        _expect(self._wire.open(relay.host, relay.port, self._secured if relay.ssl else None))
        _expect(self._wire.greet())
        if not relay.ssl and relay.tls != "no":
            self._start_tls()
        if relay.login is not None:
            self._log_in(is_ending)

    def _start_tls(self) -> None:
        if self._wire.has_extn("starttls"):
            _expect(self._wire.ask("STARTTLS"))
            self._wire.secure(self._secured)
            _expect(self._wire.greet())
        elif self._relay.tls == "required":
            raise UnavailableError(Reply(_OUR_REFUSAL, "the server has no STARTTLS, but tls = required"))

    def _secured(self, sock: socket.socket) -> socket.socket:
        secured: socket.socket = self._relay.context().wrap_socket(sock, server_hostname=self._relay.host)
        return secured

    def _log_in(self, is_ending: Callable[[], bool]) -> None:
        login, wire = self._relay.login, self._wire
        assert login is not None
        if not (wire.is_secure or self._relay.may_be_told_in_clear):
            text = "no password is sent over a connection that is not encrypted (ssl, tls)"
            raise UnavailableError(Reply(_OUR_REFUSAL, text), is_login=True)
        try:
            secret = login.secret(is_ending)
        except LoginError as error:
            raise UnavailableError(Reply(_OUR_REFUSAL, clean(str(error))), is_login=True) from None
        by_token = login.token_command is not None
        reply = wire.log_in_with_token(login.user, secret) if by_token else wire.log_in(login.user, secret)
        if not logged_in(reply):
            raise UnavailableError(reply, is_login=True)

    # -- a mail --------------------------------------------------------------------------------------------

    def deliver(self, letter: Letter) -> list[RecipientOutcome]:
        """Return what became of each recipient.

        Raises UnavailableError and StaleError if none was taken or refused.
        """
        seconds = _MAIL_STEPS * self._relay.timeout + _RECIPIENT_SECONDS * len(letter.recipients)
        self.deadline = self._clock() + seconds + len(letter.data) / _SLOWEST_BYTES
        try:
            return self._deliver(letter)
        finally:
            self.deadline = None
            self._served += 1

    def _deliver(self, letter: Letter) -> list[RecipientOutcome]:
        prepared = self._prepared(letter)
        if isinstance(prepared, Reply):
            return [_outcome(recipient, prepared) for recipient in letter.recipients]
        command, data = prepared
        outcomes: dict[str, RecipientOutcome] = {}
        left = list(letter.recipients)
        while left:
            found = self._transaction(command, left, data, is_first=not outcomes)
            outcomes.update((outcome.address, outcome) for outcome in found)
            some_sent = any(outcome.verdict == "sent" for outcome in found)
            left = [
                outcome.address
                for outcome in found
                if some_sent and self.is_open and outcome.verdict == "deferred" and outcome.code in _TOO_MANY
            ]
        return list(outcomes.values())

    def _prepared(self, letter: Letter) -> tuple[str, bytes] | Reply:
        """Return the arguments of MAIL and the bytes to send, or why this server cannot take the mail."""
        wire = self._wire
        data = _with_crlf(letter.data)
        options = ""
        addresses = (letter.sender, *letter.recipients)
        if letter.needs_utf8 or not all(address.isascii() for address in addresses):
            if not wire.has_extn("smtputf8"):
                return Reply(553, "5.6.7 the mail needs SMTPUTF8 (RFC 6531), which the server lacks")
            options += " SMTPUTF8"
        if wire.has_extn("8bitmime"):
            if not data.isascii():
                options += " BODY=8BITMIME"
        elif not data.isascii():
            data = _in_seven_bits(data)
            if not data.isascii():
                return Reply(_OUR_REFUSAL, "5.6.3 the mail has 8-bit text, and the server lacks 8BITMIME")
        if not data.endswith(b"\r\n"):
            data += b"\r\n"  # before it is signed
        if self._sign is not None:
            try:
                data = self._sign(data, letter.sender) + data
            except ValueError as error:
                return Reply(_OUR_REFUSAL, f"5.7.0 the mail cannot be signed: {clean(str(error))}")
        if wire.has_extn("size"):
            limit = wire.esmtp_features["size"]
            if limit.isdecimal() and 0 < int(limit[:18]) < len(data):
                return Reply(552, f"5.3.4 the mail has {len(data)} bytes, the server takes {limit[:18]}")
            options += f" SIZE={len(data)}"
        return f"FROM:<{letter.sender}>{options}", data

    def _transaction(
        self, command: str, recipients: Sequence[str], data: bytes, *, is_first: bool
    ) -> list[RecipientOutcome]:
        outcomes: list[RecipientOutcome] = []
        accepted: list[str] = []
        has_data = False
        wire = self._wire
        wire.command_encoding = "utf-8"
        try:
            reply = wire.ask("MAIL", command)
            if is_first and (reply.code in _LOGIN_CODES or reply.code == _CLOSING):
                self._end_unsent(reply)
            if not reply.is_good:
                return self._all(recipients, reply)
            for recipient in recipients:
                reply = wire.ask("RCPT", f"TO:<{recipient}>")
                if reply.is_good:
                    accepted.append(recipient)
                    continue
                if reply.code == _CLOSING:
                    raise BrokenError(reply)  # noqa: TRY301 - the server is about to close
                outcomes.append(_outcome(recipient, reply))
            if not accepted:
                self._reset()
                return outcomes
            outcomes = [_as_too_many(outcome) for outcome in outcomes]
            reply = wire.ask("DATA")
            if reply.code == 354:
                has_data = True
                reply = wire.send_data(data, _FINAL_PATIENCE * self._relay.timeout)
            elif reply.is_good:
                reply = Reply(801, f"{reply.code} is no reply to DATA")
            if reply.code == _CLOSING:
                raise BrokenError(reply)  # noqa: TRY301
            outcomes += [_outcome(recipient, reply) for recipient in accepted]
            if not reply.is_good:
                self._reset()
        except BrokenError as error:
            wire.close()
            if self._served and is_first and not has_data:
                raise StaleError from None
            done = {outcome.address for outcome in outcomes}
            outcomes += [_outcome(one, error.reply) for one in recipients if one not in done]
        except ValueError as error:  # of smtplib: a line end in an address
            self._reset()
            return [_outcome(one, Reply(_OUR_REFUSAL, clean(str(error)))) for one in recipients]
        return outcomes

    def _end_unsent(self, reply: Reply) -> None:
        """End the connection, whose server takes nothing from us."""
        self.close()
        if self._served:
            raise StaleError
        raise UnavailableError(reply, is_login=reply.code in _LOGIN_CODES)

    def _all(self, recipients: Sequence[str], reply: Reply) -> list[RecipientOutcome]:
        self._reset()
        return [_outcome(recipient, reply) for recipient in recipients]

    def _reset(self) -> None:
        """Forget the transaction; a server that cannot is left."""
        try:
            if not self._wire.ask("RSET").is_good:
                self.close()
        except BrokenError:
            pass  # it is closed


def _expect(reply: Reply) -> None:
    if not reply.is_good:
        raise UnavailableError(reply)


def _outcome(recipient: str, reply: Reply) -> RecipientOutcome:
    verdict = "sent" if reply.is_good else "refused" if reply.is_refusal else "deferred"
    return RecipientOutcome(recipient, verdict, reply.code, reply.text)  # type: ignore[arg-type]


def _as_too_many(outcome: RecipientOutcome) -> RecipientOutcome:
    """Return a 552 beside recipients that were accepted as what may go better in the next transaction."""
    return attrs.evolve(outcome, verdict="deferred") if outcome.code in _TOO_MANY else outcome


def _with_crlf(data: bytes) -> bytes:
    """Return the message with CRLF for each line end; not by a pattern, whose pieces take much memory."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.replace(b"\n", b"\r\n")


def _in_seven_bits(data: bytes) -> bytes:
    """Return the message with its 8-bit texts encoded, as far as they can be (RFC 6152, section 3)."""
    try:
        rules = policy.compat32.clone(cte_type="7bit", linesep="\r\n", max_line_length=0)
        return message_from_bytes(data, policy=rules).as_bytes(policy=rules)
    except (ValueError, LookupError, TypeError):  # of email, for what is no message
        return data


def unreachable(error: OSError) -> UnavailableError:
    """Return the failure of what has no connection: a folder, a terminal."""
    return UnavailableError(Reply(CODE_NOT_CONNECTED, reason_of(error)))
