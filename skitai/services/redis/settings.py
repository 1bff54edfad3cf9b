"""The section ``[redis]`` of the config."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from skitai.config import Key, form, optional, path, positive, seconds, text
from skitai.config.http import TLS_KEYS
from skitai.errors import ConfigError
from skitai.net.addresses import CONNECT_SECONDS, HostNode
from skitai.net.client_tls import TLSContexts, TLSProfile
from skitai.net.pem import TLSConfigError
from skitai.services.redis.url import RedisURL, parse_url, show_url

SECTION = "redis"
#: Where the password stands if neither the URL nor a file has it.
PASSWORD_VARIABLE = "REDIS_PASSWORD"  # noqa: S105

KEYS: Mapping[str, Key] = {
    "url": Key(
        form("URL", "rediss://shop:secret@10.0.0.5:6379/1")(parse_url),
        parse_url("redis://127.0.0.1:6379/0"),
        "redis://user:password@host:port/number; rediss:// for TLS",
        show_url,
    ),
    "password_file": Key(
        optional(path),
        None,
        f"file with the password; without: that in the URL, or ${PASSWORD_VARIABLE}",
        example="/etc/site/redis.password",
    ),
    "connect_timeout": Key(
        positive(seconds), CONNECT_SECONDS, "for a connection, with login; that of [http] holds, too"
    ),
    "timeout": Key(positive(seconds), 2.0, "for an answer; after so long a silence Redis is gone"),
    "prefix": Key(
        text,
        "skitai:",
        "begins all keys and channels; servers that share them have the same",
        example="shop:",
    ),
    **TLS_KEYS,
}


@attrs.frozen
class Settings:
    """How to reach a Redis: times are in seconds, ``prefix`` begins all keys."""

    node: HostNode
    database: int = 0
    user: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    connect_timeout: float = CONNECT_SECONDS
    timeout: float = 2.0
    prefix: str = "skitai:"

    @property
    def label(self) -> str:
        """What names this Redis in the log."""
        return f"Redis {self.node.label}/{self.database}"


def settings_of(values: Mapping[str, Any], contexts: TLSContexts) -> Settings:
    """Return the settings for the typed values of the section.

    Raises ConfigError for a password file or a certificate that cannot be used.
    """
    url: RedisURL = values["url"]
    return Settings(
        HostNode(url.host, url.port, url.tls, _profile(values, contexts) if url.tls else None),
        url.database,
        url.user,
        _password(url, values["password_file"]),
        values["connect_timeout"],
        values["timeout"],
        values["prefix"],
    )


def _password(url: RedisURL, file: Path | None) -> str | None:
    if file is None:
        return url.password or os.environ.get(PASSWORD_VARIABLE) or None
    if url.password is not None:
        raise _error("password_file", "the URL has a password, too: remove one of them")
    try:
        password = file.read_text("utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text in UTF-8"
        raise _error("password_file", f"{file}: {reason}") from error
    if not password:
        raise _error("password_file", f"{file} is empty")
    return password


def _profile(values: Mapping[str, Any], contexts: TLSContexts) -> TLSProfile | None:
    """Return how to speak TLS; None, which is as ``[http]`` says, if no key of the section differs."""
    given = {name: values[name] for name in TLS_KEYS}
    if all(given[name] == key.default for name, key in TLS_KEYS.items()):
        return None
    profile = TLSProfile(**given)
    try:
        contexts.load(profile)
    except TLSConfigError as error:
        raise _error(error.key, str(error)) from error
    return profile


def _error(key: str, message: str) -> ConfigError:
    return ConfigError(message, section=SECTION, key=key)
