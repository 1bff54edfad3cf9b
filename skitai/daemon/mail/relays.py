"""Servers that take mail: where they are, how to speak with them, and which of them may have a password."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from ssl import CERT_NONE, SSLContext, create_default_context
from typing import Literal

import attrs

from skitai.daemon.mail.tokens import LoginError, token_of
from skitai.http.hosts import is_loopback
from skitai.net.addresses import parse_host_port

_SMTP, _SMTPS = 25, 465


@attrs.frozen
class Login:
    """A name, and where its password or token comes from: each is asked for at each connection."""

    user: str
    password: str = attrs.field(default="", repr=False)
    password_file: Path | None = None
    token_command: str | None = attrs.field(default=None, repr=False)

    def secret(self, is_ending: Callable[[], bool]) -> str:
        """Return the password, or the token if there is a command; raises LoginError.

        The command is killed as soon as ``is_ending()``.
        """
        if self.token_command is not None:
            return token_of(self.token_command, is_ending)
        if self.password_file is not None:
            try:
                password = self.password_file.read_text("utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "is not UTF-8 text"
                raise LoginError(f"cannot read {self.password_file}: {reason}") from None
            if not password:
                raise LoginError(f"{self.password_file} is empty")
            return password
        return self.password


@attrs.frozen
class Relay:
    """A server. ``tls`` is the key of that name; ``ssl`` means TLS from the first byte."""

    host: str
    port: int
    ssl: bool = False
    tls: Literal["required", "yes", "no"] = "yes"
    ca_file: Path | None = None
    login: Login | None = None
    helo: str = "localhost"
    timeout: float = 60.0

    @property
    def is_verified(self) -> bool:
        """Whether its certificate must be right.

        Besides where that is required, it must where we log in: else whoever stands between reads the
        password. Nobody stands between us and our own machine.
        """
        if self.tls == "required":
            return True
        return self.login is not None and self.tls == "yes" and not is_loopback(self.host)

    @property
    def may_be_told_in_clear(self) -> bool:
        """Whether a password may go over a connection that is not encrypted."""
        return self.tls == "no" or (self.tls == "yes" and is_loopback(self.host))

    def context(self) -> SSLContext:
        """Return the rules of TLS with it; raises OSError for a file that cannot be used."""
        context = create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
        if not self.is_verified:
            context.check_hostname = False
            context.verify_mode = CERT_NONE
        return context


def make_relay(
    address: str, *, ssl: bool, tls: str, ca_file: Path | None, login: Login | None, helo: str | None,
    timeout: float,
) -> Relay:  # fmt: skip
    """Return the server at ``host[:port]``. Port 465 implies TLS from the first byte, no other does."""
    host, port = parse_host_port(address, _SMTPS if ssl else _SMTP)
    return Relay(
        host=host, port=port, ssl=ssl or port == _SMTPS, tls=tls, ca_file=ca_file,  # type: ignore[arg-type]
        login=login, helo=helo or own_name(), timeout=timeout,
    )  # fmt: skip


def own_name() -> str:
    """Return the name of this host, or an address literal (RFC 5321, section 4.1.3) if it has no full one."""
    name = socket.gethostname()
    if "." in name.strip("."):
        return name
    full = socket.getfqdn()
    return full if "." in full else "[127.0.0.1]"
