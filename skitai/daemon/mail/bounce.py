"""Tells the sender what became of a mail that is given up (RFC 3464)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from email import message_from_bytes, policy
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime, formatdate, localtime

from skitai.mail.envelope import Envelope
from skitai.mail.state import RecipientOutcome

_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}\b")
#: What of the header goes back (RFC 3462, section 2): enough to tell which mail it was.
_HEADER_MAX = 16 * 1024
#: An id has 100 characters at most.
_ID_PART, _SUFFIX = 90, "-bounce"


def bounced_id(mail_id: str) -> str | None:
    """Return the id of the mail that the mail ``mail_id`` is the bounce of; None if it is none."""
    return mail_id.removesuffix(_SUFFIX) if mail_id.endswith(_SUFFIX) else None


def bounce(
    envelope: Envelope, header: bytes, failed: Sequence[RecipientOutcome], host: str, created: float
) -> tuple[Envelope, bytes]:
    """Return the mail for the sender of ``envelope``, with the null reverse path, and its envelope.

    ``header`` is the beginning of the mail, ``host`` the name of this one. The id is made from that of the
    mail, so that one mail has one bounce.
    """
    report = MIMEMultipart("report", report_type="delivery-status")
    report["From"] = f"Mail Delivery System <MAILER-DAEMON@{host}>"
    report["To"] = envelope.sender
    report["Subject"] = "Undelivered mail returned to sender"
    report["Date"] = format_datetime(localtime())
    report["Message-ID"] = f"<{envelope.id}.bounce@{host}>"
    report["Auto-Submitted"] = "auto-replied"  # RFC 3834
    report.attach(MIMEText(_words(envelope, failed, host), "plain", "utf-8"))
    report.attach(_status(failed, envelope, host))
    headers = MIMEBase("text", "rfc822-headers")
    headers.set_payload(_header_of(header))
    report.attach(headers)
    needs_utf8 = not envelope.sender.isascii()
    rules = policy.SMTPUTF8 if needs_utf8 else policy.SMTP
    return (
        Envelope(
            id=f"{envelope.id[:_ID_PART]}{_SUFFIX}", sender="", recipients=(envelope.sender,),
            created=created, subject=report["Subject"], needs_utf8=needs_utf8, server=envelope.server,
        ),
        message_from_bytes(report.as_bytes(), policy=policy.default).as_bytes(policy=rules),
    )  # fmt: skip


def _words(envelope: Envelope, failed: Sequence[RecipientOutcome], host: str) -> str:
    lines = [f"{outcome.address}: {outcome.code} {outcome.reply}" for outcome in failed]
    begin = (f"The mail system at {host} could not deliver a mail.", "", f"Subject: {envelope.subject}", "")
    return "\n".join((*begin, *lines, ""))


def _status(failed: Sequence[RecipientOutcome], envelope: Envelope, host: str) -> Message:
    status = MIMEBase("message", "delivery-status")
    mail = Message()
    mail["Reporting-MTA"] = f"dns; {host}"
    mail["Arrival-Date"] = formatdate(envelope.created, localtime=True)
    status.attach(mail)
    for outcome in failed:
        recipient = Message()
        recipient["Final-Recipient"] = _typed(outcome.address)
        recipient["Action"] = "failed"
        recipient["Status"] = status_of(outcome)
        if 200 <= outcome.code < 600:  # else no server has said it
            recipient["Diagnostic-Code"] = f"smtp; {outcome.code} {_ascii(outcome.reply)}"
        status.attach(recipient)
    return status


def status_of(outcome: RecipientOutcome) -> str:
    """Return the status (RFC 3463) of who has not got the mail: the server's, or the class alone."""
    found = _ENHANCED.match(outcome.reply)
    if found and found[0][0] != "2":
        return found[0]
    return "5.0.0" if outcome.verdict == "refused" else "4.0.0" if outcome.code < 600 else "4.4.1"


def _typed(address: str) -> str:
    """Return an address with its type; one in any script in the form that is ASCII (RFC 6533, section 3)."""
    if address.isascii():
        return f"rfc822; {address}"
    return "utf-8; " + "".join(
        char if "!" <= char <= "~" and char not in "\\+=" else f"\\x{{{ord(char):X}}}" for char in address
    )


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def _header_of(message: bytes) -> str:
    header = re.split(rb"\r?\n\r?\n", message[:_HEADER_MAX], maxsplit=1)[0]
    return header.decode("ascii", "replace").replace("\ufffd", "?").replace("\r\n", "\n") + "\n"
