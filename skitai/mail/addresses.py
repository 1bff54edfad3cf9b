"""Addresses of mail, as people write them (RFC 5322, section 3.4; RFC 6531 for other scripts)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

import attrs

from skitai.mail.fields import decoded
from skitai.mail.words import checked_text, quoted_string, shown
from skitai.net.addresses import host_name

# The lengths are those of RFC 5321, section 4.5.3.1, in bytes; a path has two angle brackets besides.
_LOCAL_MAX = 64
_PATH_MAX = 254
#: The longest name that we take, in characters: far above any that people have.
_NAME_MAX = 500
#: Longer texts are refused before anybody looks into them.
_TEXT_MAX = 2000

#: How many addresses are kept as they were read: nearly all mails of an app have the same sender.
_KEPT = 64

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\U0010ffff-]+"
_DOT_ATOM = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_IPV6 = "IPv6:"


@attrs.frozen
class Address:
    """A mailbox: ``local@domain``, and the ``name`` of its owner, which may be empty.

    ``local`` is quoted where it has to be. ``domain`` is in lower case and in ASCII: a name in another script
    is in its form for the DNS (IDNA), so that ``local`` alone decides whether SMTPUTF8 is needed.

    ``mailbox`` is the address without the name, as SMTP uses it. ``needs_utf8`` says that a server must speak
    SMTPUTF8 (RFC 6531) to take it.
    """

    local: str
    domain: str
    name: str = ""
    # Once for each address and not for each mail: they are kept, as ``_KEPT`` says.
    mailbox: str = attrs.field(init=False, eq=False, repr=False)
    needs_utf8: bool = attrs.field(init=False, eq=False, repr=False)

    @mailbox.default
    def _mailbox(self) -> str:
        return f"{self.local}@{self.domain}"

    @needs_utf8.default
    def _needs_utf8(self) -> bool:
        return not self.local.isascii()


def parse_address(text: object, argument: str = "address") -> Address:
    """Return the one address in ``text``: ``a@b.example``, ``Ann <a@b.example>`` or ``"Ann" <a@b.example>``.

    A name need not be quoted, whatever it consists of. Raises TypeError unless ``text`` is a str, and
    ValueError, which names the ``argument``, if it is anything else than one address.
    """
    written = checked_text(text, argument).strip()
    if len(written) > _TEXT_MAX:
        raise ValueError(f"{argument}: an address is not {len(written)} characters long")
    if not written:
        raise ValueError(f"{argument}: an address is missing")
    try:
        return _parse(written)
    except ValueError as error:
        raise ValueError(f"{argument}: {shown(written)} {error}") from None


def parse_addresses(given: object, argument: str = "addresses") -> tuple[Address, ...]:
    """Return the addresses in ``given``: one, several with commas between them, or an iterable of such texts.

    None and an empty text have none. An item of an iterable is one address, so its name may have a comma.
    Raises TypeError and ValueError, as ``parse_address`` does.
    """
    if given is None:
        return ()
    if isinstance(given, str):
        if "@" in given and "," not in given and '"' not in given:  # one, as nearly always
            return (parse_address(given, argument),)
        checked_text(given, argument)
        try:
            parts = _split(given)
        except ValueError as error:
            raise ValueError(f"{argument}: {shown(given)} {error}") from None
        try:
            return tuple(parse_address(part, argument) for part in parts)
        except ValueError as error:
            if len(parts) > 1 and any("@" not in part for part in parts):
                raise ValueError(f"{error}, and a name that has a comma in quotes") from None
            raise
    if isinstance(given, bytes) or not isinstance(given, Iterable):
        raise TypeError(f"{argument} must be an address or a list of addresses, not {given!r}")
    return tuple(parse_address(item, argument) for item in given)


@lru_cache(maxsize=_KEPT)
def _parse(text: str) -> Address:
    """Return the address in ``text``; raise ValueError with what is wrong, as the end of a sentence."""
    if not text.endswith(">"):
        local, domain = _addr_spec(text)
        return Address(local, domain)
    begin = next((index for index, character in _outside_quotes(text) if character == "<"), None)
    if begin is None:
        raise ValueError("has no < before its >")
    local, domain = _addr_spec(text[begin + 1 : -1].strip())
    return Address(local, domain, _name(text[:begin].strip()))


def _name(written: str) -> str:
    quoted = _QUOTED.fullmatch(written)
    name = decoded(_ESCAPED.sub(r"\1", quoted[1]) if quoted else written)
    if len(name) > _NAME_MAX:
        raise ValueError(f"has a name of more than {_NAME_MAX} characters")
    return name


def _addr_spec(text: str) -> tuple[str, str]:
    if text.startswith("@"):
        raise ValueError("begins with @: a route through other hosts is not possible (RFC 5321, appendix C)")
    written, at, domain = text.rpartition("@")
    if not at or not written or not domain:
        raise ValueError("is not an address: write name@host")
    local = _local(written)
    host = _domain(domain)
    if len(f"{local}@{host}".encode()) > _PATH_MAX:
        raise ValueError(f"is longer than {_PATH_MAX} bytes")
    return local, host


def _local(written: str) -> str:
    quoted = _QUOTED.fullmatch(written)
    content = _ESCAPED.sub(r"\1", quoted[1]) if quoted else written
    if _DOT_ATOM.fullmatch(content) and not any(map(str.isspace, content)):
        local = content  # also where it was quoted without need
    elif quoted and content:
        local = quoted_string(content)
    else:
        hint = ": write commas between several addresses" if re.search("[; ,>]", written) else ""
        raise ValueError(f"has {shown(written)} before the @, which cannot be{hint}")
    if len(local.encode()) > _LOCAL_MAX:
        raise ValueError(f"has more than {_LOCAL_MAX} bytes before the @")
    return local


def _domain(written: str) -> str:
    try:
        if written.startswith("[") and written.endswith("]"):
            return _address_literal(written[1:-1])
        host = "" if ":" in written or written.endswith(".") else host_name(written)
    except ValueError:
        host = ""
    if not host:
        raise ValueError(f"has {shown(written)} after the @, which is not a host name")
    if host.rpartition(".")[2].isdigit():
        raise ValueError("has a number for a host: write an IP address as name@[192.0.2.1]")
    return host


def _address_literal(text: str) -> str:
    """Return an IP address in its form for mail (RFC 5321, section 4.1.3); raise ValueError for another."""
    if text.lower().startswith(_IPV6.lower()):
        return f"[{_IPV6}{IPv6Address(text[len(_IPV6) :])}]"
    return f"[{IPv4Address(text)}]"


def _split(text: str) -> list[str]:
    """Return what is between the commas of ``text``, but for those in quotes and in angle brackets."""
    parts = []
    begin, in_brackets = 0, False
    for index, character in _outside_quotes(text):
        if character == "<":
            in_brackets = True
        elif character == ">":
            in_brackets = False
        elif character == "," and not in_brackets:
            parts.append(text[begin:index])
            begin = index + 1
    parts.append(text[begin:])
    return [part for part in map(str.strip, parts) if part]


def _outside_quotes(text: str) -> Iterator[tuple[int, str]]:
    """Yield the characters outside of quotes, with their places; raise ValueError for a quote left open."""
    in_quotes = escaped = False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == '"':
            in_quotes = not in_quotes
        elif in_quotes:
            escaped = character == "\\"
        else:
            yield index, character
    if in_quotes:
        raise ValueError('has a " without its end')
