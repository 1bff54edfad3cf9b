"""A real SMTP server for tests (aiosmtpd), which does what a test wants at each step."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from email import message_from_bytes

from aiosmtpd.smtp import SMTP, AuthResult

#: Seconds until something has gone wrong, also on a busy machine.
PATIENCE = 60
#: An answer that closes the connection instead.
DROP = object()
#: An answer that never comes.
SILENCE = object()

logging.getLogger("mail.log").setLevel(logging.CRITICAL)


class Mail:
    """One mail that the server has taken."""

    def __init__(self, envelope, session, is_secure):
        self.sender = envelope.mail_from.removeprefix("<>")
        self.options = envelope.mail_options
        self.recipients = tuple(envelope.rcpt_tos)
        self.content = envelope.content
        self.peer = session.peer
        self.login = session.auth_data
        self.is_secure = is_secure

    @property
    def message(self):
        """The message, parsed."""
        return message_from_bytes(self.content)

    @property
    def id(self):
        """The Message-ID."""
        return self.message["Message-ID"]


class Handler:
    """Answers from ``script``: by step, a list of answers that are used up, or a function of the argument."""

    def __init__(self, script):
        self.script = script
        self.mails = []
        self.steps = []
        self.transports = []
        self.connections = 0
        self.changed = threading.Condition()

    async def answer(self, server, step, argument, default):
        """Return what the script has for the step."""
        with self.changed:
            self.steps.append((step, argument))
            self.changed.notify_all()
        planned = self.script.get(step)
        answer = planned(argument) if callable(planned) else planned.pop(0) if planned else None
        if answer is DROP:
            server.transport.abort()
            return default
        if answer is SILENCE:
            await asyncio.sleep(60)
        return default if answer is None else answer

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        answer = await self.answer(server, "EHLO", hostname, None)
        if answer is None:
            hidden = self.script.get("hide", ())
            return [line for line in responses if not any(word in line.upper() for word in hidden)]
        return [answer]

    async def handle_MAIL(self, server, session, envelope, address, options):
        answer = await self.answer(server, "MAIL", address, "250 OK")
        if answer.startswith("250"):
            envelope.mail_from = address or "<>"  # "" means that there was no MAIL
            envelope.mail_options.extend(options)
        return answer

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = await self.answer(server, "RCPT", address, "250 OK")
        if answer.startswith("25"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server, session, envelope):
        answer = await self.answer(server, "DOT", envelope.content, "250 OK")
        if answer.startswith("250"):
            with self.changed:
                self.mails.append(
                    Mail(envelope, session, server.transport.get_extra_info("sslcontext") is not None)
                )
                self.changed.notify_all()
        return answer

    async def handle_RSET(self, server, session, envelope):
        return await self.answer(server, "RSET", None, "250 OK")

    async def handle_QUIT(self, server, session, envelope):
        return await self.answer(server, "QUIT", None, "221 Bye")


class _Server(SMTP):
    """aiosmtpd's, with the steps that it keeps to itself."""

    async def _handle_client(self):
        self.event_handler.connections += 1
        self.event_handler.transports.append(self.transport)
        answer = await self.event_handler.answer(self, "CONNECT", None, None)
        if answer is not None:
            await self.push(answer)
            self.transport.close()
            return
        await super()._handle_client()

    async def smtp_DATA(self, arg):
        answer = await self.event_handler.answer(self, "DATA", arg, None)
        if answer is not None:
            await self.push(answer)
            return
        await super().smtp_DATA(arg)

    async def smtp_STARTTLS(self, arg):
        answer = await self.event_handler.answer(self, "STARTTLS", arg, None)
        if answer is not None:
            await self.push(answer)
            return
        await super().smtp_STARTTLS(arg)


class _Loop:
    """The event loop of all servers, in a thread of its own."""

    loop = None

    @classmethod
    def run(cls, coroutine):
        """Return what the coroutine gives."""
        if cls.loop is None:
            cls.loop = asyncio.new_event_loop()
            threading.Thread(target=cls.loop.run_forever, name="mail servers", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(coroutine, cls.loop).result(10)


class MailServer:
    """A server on a free port of 127.0.0.1. It is a context manager.

    ``logins`` are passwords by user. ``tls`` is an SSL context for STARTTLS, ``smtps`` one for all that is
    said. Other options are those of ``aiosmtpd.smtp.SMTP``.
    """

    def __init__(self, script=None, *, logins=None, tls=None, smtps=None, port=0, **options):
        self.handler = Handler(script if script is not None else {})
        if logins is not None:
            options["authenticator"] = lambda server, session, envelope, mechanism, data: AuthResult(
                success=logins.get(data.login.decode()) == data.password.decode(),
                auth_data=data.login.decode(), handled=False,
            )  # fmt: skip
            options.setdefault("auth_require_tls", False)
        options.setdefault("enable_SMTPUTF8", True)
        self._options = {**options, "tls_context": tls, "hostname": "server.test"}
        self._smtps = smtps
        self.port = port

    async def _start(self):
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._serve, "127.0.0.1", self.port, ssl=self._smtps)
        self.port = self._server.sockets[0].getsockname()[1]

    def _serve(self):
        return _Server(self.handler, **self._options)

    async def _stop(self):
        self._server.close()
        for transport in self.handler.transports:
            transport.abort()

    def __enter__(self):
        _Loop.run(self._start())
        return self

    def __exit__(self, *_):
        _Loop.run(self._stop())

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def mails(self):
        return self.handler.mails

    @property
    def steps(self):
        """The names of the steps so far."""
        return [step for step, _ in self.handler.steps]

    def wait_for(self, condition, timeout=PATIENCE):
        """Wait until ``condition(self)`` holds."""
        with self.handler.changed:
            assert self.handler.changed.wait_for(lambda: condition(self), timeout), (self.steps, self.mails)


class scripted:
    """A server that answers ``answers`` in turn after EHLO, and notes in ``heard`` what it is told."""

    def __init__(self, *answers, auth):
        self._answers = [b"220 hi", b"250-hi\r\n250 AUTH " + auth, *answers, b"221 bye"]
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.heard = []
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._thread.join(5)
        self._socket.close()

    def _serve(self):
        connection, _ = self._socket.accept()
        with connection, connection.makefile("rb") as lines:
            for answer in self._answers:
                connection.sendall(answer + b"\r\n")
                line = lines.readline()
                self.heard.append(line.rstrip())
                if not line:
                    return


__all__ = ["DROP", "SILENCE", "Mail", "MailServer", "scripted"]
