"""The certificates that a server shows: which files they come from, whose names they have, until when."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import AuthorityInformationAccessOID

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


def not_covered(certificate: x509.Certificate, names: Sequence[str]) -> list[str]:
    """Return those of ``names`` that clients will not find in a certificate (RFC 9525)."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = {name.lower() for name in alternatives.get_values_for_type(x509.DNSName)}
    except (x509.ExtensionNotFound, ValueError):
        known = set()
    return [name for name in names if name not in known and f"*.{name.partition('.')[2]}" not in known]


def broken_chain(identity: Identity) -> str:
    """Return what is wrong with the chain that clients are sent, as they see it; empty if nothing is.

    A certificate alone is right where clients know its issuer, as within a company. One of a public authority
    says where its issuer is found, because clients do not know that.
    """
    leaf, chain = identity.certificate, identity.chain
    if leaf.issuer == leaf.subject:
        return ""
    issuer = _common_name(leaf.issuer)
    if not chain:
        lacks = f"lacks the certificate of {issuer}, its issuer: clients may refuse it"
        return lacks if _names_issuer(leaf) else ""
    # TLS 1.3 lets the order be any (RFC 8446, section 4.4.2), and clients sort.
    if any(_signed(leaf, each) for each in chain):
        return ""
    return f"has no certificate of {issuer}, its issuer, in its chain: clients may refuse it"


def _signed(leaf: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _names_issuer(certificate: x509.Certificate) -> bool:
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return any(each.access_method == AuthorityInformationAccessOID.CA_ISSUERS for each in access)


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return repr(str(found[0].value) if found else name.rfc4514_string())
