"""The certificates that a server shows: which files they come from, whose names they have, until when."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from skitai.net.pem import Identity

#: What a file is told apart by from what stood there before: time, size, inode; None: it cannot be looked at.
Stamp = tuple[int, int, int] | None

_DAY = 86_400.0
#: The most seconds before the end of a certificate at which somebody should know, and the part of its time:
#: clients of authorities renew a third before the end.
_WARNING_SECONDS, _WARNING_PART = 20 * _DAY, 0.25


@attrs.frozen
class Source:
    """Where one certificate comes from: ``load`` reads the ``files``, and raises TLSConfigError.

    ``names`` are the names of hosts that it is shown for, in lower case, ``*.example.org`` among them; none:
    it is for all that no other certificate is for.
    """

    names: tuple[str, ...]
    files: tuple[Path, ...]
    load: Callable[[], Identity]

    @property
    def title(self) -> str:
        """What it is called in messages and metrics."""
        return " ".join(self.names) or "default"

    def stamps(self) -> tuple[Stamp, ...]:
        """Return what tells whether the files have changed."""
        return tuple(map(_stamp, self.files))

    @property
    def is_hidden(self) -> bool:
        """Whether this user may not even look at the files."""
        return any(map(_is_hidden, self.files))

    def read(self) -> Loaded:
        """Return what the files hold now; raise TLSConfigError if it cannot be used."""
        stamps = self.stamps()  # before: what changes meanwhile is read again
        return Loaded(self, self.load(), stamps)


@attrs.frozen
class Loaded:
    """What the files of ``source`` held when they had these stamps."""

    source: Source
    identity: Identity
    stamps: tuple[Stamp, ...]


def _stamp(file: Path) -> Stamp:
    try:
        found = os.stat(file)  # of the file behind a link: authorities' clients keep links
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _is_hidden(file: Path) -> bool:
    try:
        os.stat(file)
    except OSError as error:
        return isinstance(error, PermissionError)
    return False


def begins(certificate: x509.Certificate) -> float:
    """Return the first moment of a certificate in seconds since the epoch."""
    return certificate.not_valid_before_utc.timestamp()


def ends(certificate: x509.Certificate) -> float:
    """Return the last moment of a certificate in seconds since the epoch."""
    return certificate.not_valid_after_utc.timestamp()


def untimely(certificate: x509.Certificate, now: float) -> str:
    """Return why clients refuse a certificate at the time ``now``; empty if its time is right."""
    if now > ends(certificate):
        return f"expired on {_date(ends(certificate))}"
    if now < begins(certificate):
        return f"is not valid before {_date(begins(certificate))}"
    return ""


def ending(certificate: x509.Certificate, now: float) -> str:
    """Return what to say of a certificate that ends soon, or is not valid now; empty if there is time.

    Soon is within 20 days, or in the last quarter of a shorter life than 80 days.
    """
    if said := untimely(certificate, now):
        return said
    left = ends(certificate) - now
    if left > min(_WARNING_SECONDS, _WARNING_PART * (ends(certificate) - begins(certificate))):
        return ""
    days = int(left / _DAY)
    return f"expires on {_date(ends(certificate))}, in {days} day{'s' * (days != 1)}"


def _date(moment: float) -> str:
    return f"{datetime.datetime.fromtimestamp(moment, datetime.UTC):%Y-%m-%d %H:%M} UTC"


def stray(certificates: Sequence[x509.Certificate]) -> int:
    """Return the place of the first of a chain that has not signed the one before it; 0 if there is none.

    Clients may look for the one that has, but need not (RFC 8446, section 4.4.2; RFC 5246, section 7.4.2).
    """
    for place, issuer in enumerate(certificates[1:], 1):
        try:
            certificates[place - 1].verify_directly_issued_by(issuer)
        except (InvalidSignature, TypeError, ValueError):
            return place
    return 0


def not_covered(certificate: x509.Certificate, names: Sequence[str]) -> list[str]:
    """Return those of ``names`` that clients will not find in a certificate (RFC 9525)."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = {name.lower() for name in alternatives.get_values_for_type(x509.DNSName)}
    except (x509.ExtensionNotFound, ValueError):
        known = set()
    return [name for name in names if name not in known and f"*.{name.partition('.')[2]}" not in known]
