"""``was.cookie``: the cookies of a request, and those that its response sets (RFC 6265)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from email.utils import formatdate
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, Never, TypeAlias
from urllib.parse import quote, unquote_to_bytes

import attrs

from skitai.errors import MisuseError
from skitai.http.fields import TOKEN, plain
from skitai.saddle.visitor.mapping import DictMethods
from skitai.saddle.words import COOKIE

Expires: TypeAlias = float | Literal["now", "never"] | None

FIELD_LIMIT: Final = 4096
"""Bytes of one cookie, attributes included, that browsers must be able to keep (RFC 6265, 6.1)."""

_NEVER: Final = 100 * 365 * 86_400.0
_PATH: Final = re.compile(r"/[\x20-\x3a\x3c-\x7e]*")
_DOMAIN: Final = re.compile(r"\.?[0-9A-Za-z]([0-9A-Za-z.-]*[0-9A-Za-z])?")
#: What a value may have as it is besides letters, digits and ``_.-~``: with these, scripts of a page read and
#: write values by ``decodeURIComponent`` and ``encodeURIComponent`` (ECMA-262).
_PLAIN: Final = "!'()*"
_SAME_SITE: Final = {"strict": "Strict", "lax": "Lax", "none": "None"}


class CookieTooLargeError(MisuseError, ValueError):
    """A cookie is larger than browsers keep."""


@attrs.frozen
class _Change:
    """A cookie to set. ``lasting`` is in seconds; None lasts until the browser ends, and 0 removes it."""

    name: str
    value: str
    lasting: float | None
    path: str
    domain: str | None
    secure: bool
    http_only: bool
    same_site: str | None

    def field(self, now: float) -> str:
        """Return the value of the Set-Cookie field (RFC 6265, 4.1)."""
        parts = [f"{self.name}={quote(self.value, safe=_PLAIN)}", f"path={self.path}"]
        if self.domain:
            parts.append(f"domain={self.domain}")
        if self.lasting is not None:
            # Both: Max-Age does not depend on the browser's clock, but old clients only know expires.
            date = formatdate(now + self.lasting if self.lasting else 0, usegmt=True)
            parts += [f"expires={date}", f"max-age={int(self.lasting)}"]
        parts += ["Secure"] * self.secure + ["HttpOnly"] * self.http_only
        if self.same_site:
            parts.append(f"SameSite={self.same_site}")
        return "; ".join(parts)


class Cookies(DictMethods):
    """The cookies of one request as a dictionary of text, which also shows what has been set or removed.

    ``header`` is HTTP_COOKIE, or empty. ``path`` and ``secure`` are the defaults of ``set``. ``hidden`` are
    names, or patterns such as ``SESSION_*``, that the app cannot see or set: they are for ``read_hidden`` and
    ``write_hidden``. If several cookies have one name, the first counts: browsers send the one with the
    longest path first. For one thread at a time.
    """

    def __init__(
        self,
        header: str,
        *,
        path: str = "/",
        secure: bool = False,
        hidden: Collection[str] = (),
        seconds: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._secure = secure
        self._hidden = hidden
        self._seconds = seconds
        self._changes: dict[tuple[str, str, str | None], _Change] = {}
        #: Whether anybody has looked at what came with the request, so that the response depends on it.
        self.is_read = False
        self._unseen: dict[str, str] = {}
        self._values: dict[str, str] = {}
        for name, value in parse_cookies(header).items():
            (self._unseen if self._is_hidden(name) else self._values)[name] = value

    def set(
        self,
        name: str,
        value: str | float,
        expires: Expires = None,
        path: str | None = None,
        domain: str | None = None,
        secure: bool | None = None,
        http_only: bool = False,
        same_site: str | None = "Lax",
        **others: Never,
    ) -> None:
        """Set a cookie if the request succeeds.

        ``value`` is text or a number, and is percent-encoded. ``expires`` is in seconds from now, "never"
        (100 years, which browsers may shorten), "now" (which removes the cookie), or None (until the browser
        ends). If ``secure`` is None, the cookie is secure if the request came over https.

        Raises TypeError for other values and arguments, ValueError for a name or an attribute that could
        break the header or that browsers refuse, CookieTooLargeError for more than 4096 bytes.
        """
        COOKIE.refuse("was.cookie.set()", others)
        if isinstance(name, str) and self._is_hidden(name):
            raise ValueError(f"the cookie {name!r} is kept by Saddle itself: choose another name")
        change = self._checked(name, value, expires, path, domain, secure, http_only, same_site)
        self._changes[name, change.path, change.domain] = change
        if change.lasting == 0:
            self._values.pop(name, None)
        else:
            self._values[name] = change.value

    def remove(self, key: str, path: str | None = None, domain: str | None = None) -> None:
        """Remove a cookie, with the ``path`` and ``domain`` that it was set with.

        Without both, this removes the one at the default path and those that this request has set. A missing
        cookie is no error.
        """
        if key not in self._held():
            return
        places = {(path, domain)}
        if path is None and domain is None:
            places |= {
                (change.path, change.domain) for change in self._changes.values() if change.name == key
            }
        for each_path, each_domain in places:
            self.set(key, "", "now", each_path, each_domain)

    def headers(self) -> list[tuple[str, str]]:
        """Return the Set-Cookie fields for all changes."""
        now = self._seconds()
        return [("Set-Cookie", change.field(now)) for change in self._changes.values()]

    def read_hidden(self, name: str) -> str | None:
        """Return the value of a hidden cookie, as it came with the request or was written since."""
        self.is_read = True
        return self._unseen.get(name)

    def write_hidden(self, name: str, value: str, expires: Expires = None, path: str | None = None) -> None:
        """Set a hidden cookie that scripts cannot read; an empty ``value`` removes it."""
        when = expires if value else "now"
        change = self._checked(name, value, when, path, None, None, http_only=True, same_site="Lax")
        self._changes[name, change.path, None] = change
        if value:
            self._unseen[name] = value
        else:
            self._unseen.pop(name, None)

    def __getitem__(self, key: str) -> str:
        return self._held()[key]

    def __repr__(self) -> str:
        return f"Cookies({sorted(self._values)})"

    def _held(self) -> Mapping[str, str]:
        self.is_read = True
        return self._values

    def _put(self, key: str, value: Any) -> None:
        self.set(key, value)

    def _drop(self, key: str) -> None:
        self.remove(key)

    def _is_hidden(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self._hidden)

    def _checked(
        self,
        name: str,
        value: str | float,
        expires: Expires,
        path: str | None,
        domain: str | None,
        secure: bool | None,
        http_only: bool,
        same_site: str | None,
    ) -> _Change:
        change = _Change(
            _matching(TOKEN, name, "a cookie's name"),
            _text(name, value),
            _lasting(name, expires),
            _matching(_PATH, self._path if path is None else path, f"the path of the cookie {name}"),
            None if domain is None else _matching(_DOMAIN, domain, f"the domain of the cookie {name}"),
            self._secure if secure is None else secure,
            http_only,
            None if same_site is None else _same_site(name, same_site),
        )
        if change.same_site == "None" and not change.secure:
            raise ValueError(
                f"the cookie {name} with same_site None needs secure=True: browsers refuse it without"
            )
        size = len(change.field(self._seconds()))
        if size > FIELD_LIMIT and change.lasting != 0:
            raise CookieTooLargeError(f"the cookie {name} takes {size} bytes, browsers keep {FIELD_LIMIT}")
        return change


def parse_cookies(header: str) -> dict[str, str]:
    """Return the cookies of a Cookie field, without anything that is not ``name=value`` (RFC 6265, 4.1.1).

    Double quotes around a value are removed, and percent-encoding is decoded; ``+`` is a character like any
    other. Bytes that are not UTF-8 become U+FFFD.
    """
    cookies: dict[str, str] = {}
    for pair in header.split(";"):
        name, equals, value = pair.strip().partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not TOKEN.fullmatch(name):
            continue
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = value[1:-1]
        cookies.setdefault(name, _unquoted(value))
    return cookies


def _unquoted(value: str) -> str:
    # PEP 3333: the bytes of a header reach an app as latin-1.
    return unquote_to_bytes(value.encode("latin-1", "replace")).decode("utf-8", "replace")


def _matching(pattern: re.Pattern[str], text: object, what: str) -> str:
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise ValueError(f"{what} cannot be {text!r}")
    return text


def _text(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"the cookie {name} is a {type(value).__name__}, not text")
    return plain(value)


def _lasting(name: str, expires: object) -> float | None:
    if expires is None:
        return None
    if expires == "now":
        return 0.0
    if expires == "never":
        return _NEVER
    if isinstance(expires, bool) or not isinstance(expires, int | float) or expires != expires:
        raise ValueError(f'expires of the cookie {name} is {expires!r}: give seconds, "now", "never" or None')
    return min(max(float(expires), 0.0), _NEVER)


def _same_site(name: str, same_site: str) -> str:
    try:
        return _SAME_SITE[same_site.lower()]
    except (AttributeError, KeyError):
        choices = "Lax, Strict, None"
        raise ValueError(f"same_site of the cookie {name} is {same_site!r}: give one of {choices}") from None
