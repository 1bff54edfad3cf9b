"""What the configuration says, made ready for use: limits, and what carries the mail."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from skitai.daemon.mail.dialogue import Carrier, Dialogue, ImpossibleError
from skitai.daemon.mail.relays import Login, Relay, make_relay, own_name
from skitai.daemon.mail.retries import Policy
from skitai.daemon.mail.settings import MailSettings
from skitai.daemon.mail.signing import make_signer
from skitai.daemon.mail.sinks import CONSOLE, FILE, ConsoleSink, FolderSink
from skitai.errors import ConfigError
from skitai.mail.envelope import Server

_DAY = 86400.0


@attrs.frozen
class Rules:
    """``host`` is the name of this host. ``keep_seconds`` None: undelivered mail is kept for ever."""

    policy: Policy
    host: str
    connections: int
    rate: int
    bounce: bool
    keep_seconds: float | None
    #: Where mail goes that names no server: for people.
    target: str
    _default: Callable[[], Carrier]
    _own: Callable[[Server], Carrier]

    def carrier(self, server: Server | None) -> Carrier:
        """Return a new carrier to the server of a mail, or of the configuration.

        Raises ImpossibleError for an address that is none.
        """
        return self._default() if server is None else self._own(server)


def make_rules(settings: MailSettings) -> Rules:
    """Return what ``settings`` mean; raises ConfigError."""
    values = settings.values

    def wrong(key: str, message: str) -> ConfigError:
        return ConfigError(message, path=str(settings.path), section="smtpda", key=key)

    signer = None
    if values["dkim_key"] is not None:
        try:
            signer = make_signer(values["dkim_key"], values["dkim_selector"], values["dkim_domain"])
        except ValueError as error:
            raise wrong("dkim_key", str(error)) from None
    host = values["helo"] or own_name()
    if not host.isascii() or any(char.isspace() for char in host):
        raise wrong("helo", f"{host!r} is not the name of a host")
    shared = {
        "tls": values["tls"], "ca_file": values["ca_file"], "helo": host, "timeout": values["timeout"],
    }  # fmt: skip

    def own(server: Server) -> Carrier:
        login = Login(server.user, server.password) if server.user else None
        # That the server of the configuration needs no TLS says nothing of this one.
        tls = "yes" if shared["tls"] == "no" else shared["tls"]
        try:
            relay = make_relay(server.address, ssl=server.ssl, login=login, **{**shared, "tls": tls})
        except ValueError as error:
            raise ImpossibleError(str(error)) from None
        return Dialogue(relay, signer)

    address = values["smtpserver"]
    default: Callable[[], Carrier]
    if address == CONSOLE:
        default = ConsoleSink
    elif address.startswith(FILE):
        if address == FILE:
            raise wrong("smtpserver", "file: needs a folder: file:DIR")
        folder = settings.path.absolute().parent / address.removeprefix(FILE)
        default = lambda: FolderSink(folder)  # noqa: E731
    else:
        try:
            relay = make_relay(address, ssl=values["ssl"], login=_login(values, wrong), **shared)
        except ValueError as error:
            raise wrong("smtpserver", str(error)) from None
        _check_authorities(relay, wrong)
        default = lambda: Dialogue(relay, signer)  # noqa: E731
    days = values["undelivers_keep_max_days"]
    return Rules(
        policy=Policy(values["max_retry"]), host=host,
        connections=values["connections"], rate=values["rate"], bounce=values["bounce"],
        keep_seconds=days * _DAY if days else None, target=address, default=default, own=own,
    )  # fmt: skip


def _login(values: Any, wrong: Callable[[str, str], ConfigError]) -> Login | None:
    user: str | None = values["user"]
    given = [key for key in ("password", "password_file", "token_command") if values[key] is not None]
    if user is None:
        if given:
            raise wrong(given[0], "is of no use without user")
        return None
    if not given:
        raise wrong("user", "has no password: name one of password_file, password, token_command")
    if len(given) > 1:
        raise wrong(given[1], f"cannot be beside {given[0]}: keep one of the two")
    if values["token_command"] is not None:
        try:
            shlex.split(values["token_command"])
        except ValueError as error:
            raise wrong("token_command", f"cannot be read: {error}") from None
    password_file: Path | None = values["password_file"]
    return Login(user, values["password"] or "", password_file, values["token_command"])


def _check_authorities(relay: Relay, wrong: Callable[[str, str], ConfigError]) -> None:
    try:
        relay.context()
    except OSError as error:
        raise wrong("ca_file", f"cannot read {relay.ca_file}: {error.strerror or error}") from None
