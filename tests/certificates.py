"""Certificates for tests: authorities, what they sign, and the files that a config names."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from twisted.internet.ssl import CertificateOptions

from skitai.net.certificates import Source
from skitai.net.pem import load_identity
from skitai.net.server_tls import ServerTLS

_DAY = datetime.timedelta(days=1)


class Identity:
    """A key and a certificate for ``names``, signed by ``issuer`` or by itself.

    It is valid from ``since`` days on, for another ``days`` from now.
    """

    def __init__(self, *names, issuer=None, authority=False, days=1, since=-10):
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"skitai test {id(self)}")])
        signer = issuer or self
        now = datetime.datetime.now(datetime.UTC)
        self.subject = subject
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(signer.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + since * _DAY)
            .not_valid_after(now + days * _DAY)
        )
        builder = with_kind(builder, self.key, signer.key, authority=authority)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
            )
        self.certificate = builder.sign(signer.key, hashes.SHA256())

    @property
    def pem(self):
        """The certificate as it stands in a file."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self, passphrase=None):
        """Return the key as it stands in a file, encrypted if there is a passphrase."""
        encryption = serialization.NoEncryption()
        if passphrase:
            encryption = serialization.BestAvailableEncryption(passphrase.encode())
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )

    def server(self, *, clients=None):
        """Return the options of a server that shows it; ``clients``: whose client certificates it wants."""
        options = CertificateOptions(privateKey=self.key, certificate=self.certificate)
        context = options.getContext()
        if clients is not None:
            context.get_cert_store().add_cert(SSL.X509.from_cryptography(clients.certificate))
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *args: args[-1])
        return options


def tls_of(certfile, keyfile=None, passphrase=None):
    """Return what shows the certificate in these files to all clients."""
    files = (certfile, keyfile) if keyfile else (certfile,)
    return ServerTLS(Source((), files, lambda: load_identity(certfile, keyfile, passphrase)).read())


def with_kind(builder, key, signer, *, authority):
    """Return the builder of a certificate with what RFC 5280 (section 4.2.1) demands of it.

    These are the identifiers of its key and that of its signer, and what it may be used for. Python 3.13
    refuses certificates without them (VERIFY_X509_STRICT).
    """
    return (
        builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(_usage(authority), critical=True)
    )


def _usage(authority):
    """What the key is for: an authority must say that it signs certificates (RFC 5280, section 4.2.1.3)."""
    others = dict.fromkeys(
        ("content_commitment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
    )
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_cert_sign=authority,
        crl_sign=authority,
        **others,
    )


def _general(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
