"""The certificates of clients, as apps see them: the variables that Apache's mod_ssl has."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from skitai.net.certificates import ends

#: The parts of names that have a variable of their own.
_PARTS = {
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "Email": NameOID.EMAIL_ADDRESS,
    "UID": NameOID.USER_ID,
}
#: What stands in the environ of a client that has shown no certificate.
NO_CERTIFICATE: Mapping[str, str] = {"SSL_CLIENT_VERIFY": "NONE"}


class ClientCertificate:
    """A certificate that a client has shown, verified in the handshake."""

    def __init__(self, certificate: x509.Certificate) -> None:
        self.certificate = certificate
        self._ends = ends(certificate)
        self._variables: dict[str, str] | None = None

    def has_expired(self, now: float) -> bool:
        """Whether it has expired since; ``now`` is in seconds since the epoch."""
        return now > self._ends

    @property
    def variables(self) -> Mapping[str, str]:
        """The ``SSL_CLIENT_*`` of the environ: bytes of UTF-8 in native strings (PEP 3333)."""
        if self._variables is None:
            found = {name: text.encode().decode("latin-1") for name, text in _variables(self.certificate)}
            self._variables = {f"SSL_CLIENT_{name}": text for name, text in found.items()}
        return self._variables


def _variables(certificate: x509.Certificate) -> Iterator[tuple[str, str]]:
    yield "VERIFY", "SUCCESS"
    yield "M_SERIAL", f"{certificate.serial_number:X}"
    yield "V_START", _moment(certificate.not_valid_before_utc)
    yield "V_END", _moment(certificate.not_valid_after_utc)
    for letter, name in (("S", certificate.subject), ("I", certificate.issuer)):
        yield f"{letter}_DN", name.rfc4514_string()
        for part, oid in _PARTS.items():
            if attributes := name.get_attributes_for_oid(oid):
                yield f"{letter}_DN_{part}", str(attributes[0].value)
    yield from _alternatives(certificate)
    yield "CERT", certificate.public_bytes(Encoding.PEM).decode()


def _alternatives(certificate: x509.Certificate) -> Iterator[tuple[str, str]]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return
    for kind, values in (
        ("DNS", found.get_values_for_type(x509.DNSName)),
        ("Email", found.get_values_for_type(x509.RFC822Name)),
        ("URI", found.get_values_for_type(x509.UniformResourceIdentifier)),
    ):
        for number, value in enumerate(values):
            yield f"SAN_{kind}_{number}", value


def _moment(moment: datetime.datetime) -> str:
    return f"{moment:%b} {moment.day:2} {moment:%H:%M:%S %Y} GMT"
