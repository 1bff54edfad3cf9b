"""Signs mail (DKIM, RFC 6376), with dkimpy."""

from __future__ import annotations

from pathlib import Path

import attrs

from skitai.net.addresses import host_name

#: The fields that are signed where a mail has them (RFC 6376, section 5.4.1). No second From can be added.
_FIELDS = (
    b"from", b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"reply-to", b"mime-version",
    b"content-type", b"content-transfer-encoding", b"in-reply-to", b"references",
)  # fmt: skip
_TRIAL = b"From: a@example.com\r\n\r\n.\r\n"


@attrs.frozen
class Signer:
    """``key`` is a private key in PEM. ``domain`` None is that of the sender."""

    key: bytes = attrs.field(repr=False)
    selector: str
    domain: str | None

    def __call__(self, message: bytes, sender: str) -> bytes:
        """Return the field to put before a message, whose lines end with CRLF.

        It is empty for a bounce and for a sender at an IP address, if no domain is configured. Raises
        ValueError for what cannot be signed.
        """
        import dkim

        domain = self.domain or sender.rpartition("@")[2]
        if not domain or domain.startswith("["):
            return b""
        present = {line.partition(b":")[0].strip().lower() for line in _header_lines(message)}
        try:
            field: bytes = dkim.sign(
                message, self.selector.encode("idna"), domain.encode("idna"), self.key,
                canonicalize=(b"relaxed", b"relaxed"),
                include_headers=[name for name in _FIELDS if name in present],
            )  # fmt: skip
        except (dkim.DKIMException, UnicodeError) as error:
            raise ValueError(str(error) or type(error).__name__) from None
        return field


def make_signer(key_file: Path, selector: str, domain: str | None) -> Signer:
    """Return what signs with the key in ``key_file``; raises ValueError, with a sentence, if nothing can."""
    try:
        import dkim  # noqa: F401 - is it there?
    except ImportError:
        raise ValueError("needs dkimpy: pip install skitai[dkim]") from None
    for name in (selector, domain or "example.com"):
        host_name(name)
    try:
        signer = Signer(key_file.read_bytes(), selector, domain)
    except OSError as error:
        raise ValueError(f"cannot read {key_file}: {error.strerror}") from None
    try:
        attrs.evolve(signer, domain=domain or "example.com")(_TRIAL, "")
    except ValueError as error:
        raise ValueError(f"{key_file} has no key to sign with: {error}") from None
    return signer


def _header_lines(message: bytes) -> list[bytes]:
    return message.partition(b"\r\n\r\n")[0].split(b"\r\n")
