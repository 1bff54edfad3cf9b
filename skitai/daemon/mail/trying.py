"""The small mail that ``skitai-mail test`` sends, and what becomes of it."""

from __future__ import annotations

import getpass
import re
import socket
import time
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import Any

from skitai.daemon.mail.shown import reply
from skitai.daemon.skitaid.shown import duration
from skitai.mail.envelope import Envelope, new_id
from skitai.mail.listing import read_entry
from skitai.mail.spool import Spool

_ADDRESS = re.compile(r'[^\s@<>(),;:"\\]+@[^\s@<>(),;:"\\]+')
_LONGEST_ADDRESS = 254  # RFC 5321, 4.5.3.1.3, without the angle brackets
_LOOK_SECONDS = 0.05


def trial_mail(
    address: str, sender: str | None, values: Mapping[str, Any], now: float
) -> tuple[Envelope, bytes]:
    """Return the mail to ``address``; ``values`` are those of ``[smtpda]``.

    Raises ValueError for what is no plain address.
    """
    host = values["helo"] or socket.getfqdn()
    sender = sender or _sender(values["user"] or "", host)
    for given in (address, sender):
        if not _ADDRESS.fullmatch(given) or len(given) > _LONGEST_ADDRESS or not given.isprintable():
            raise ValueError(f"{given} is not an address such as name@example.com")
    needs_utf8 = not (address + sender).isascii()
    mail_id = new_id(now)
    subject = f"Test mail from {host}"
    message = EmailMessage(SMTP.clone(utf8=needs_utf8))
    message["From"] = sender
    message["To"] = address
    message["Subject"] = subject
    message["Date"] = formatdate(now, localtime=True)
    message["Message-ID"] = f"<{mail_id}@{sender.rpartition('@')[2]}>"
    message.set_content(f"This is a test. skitai-mail on {host} has sent it.\n")
    envelope = Envelope(mail_id, sender, (address,), now, subject=subject, needs_utf8=needs_utf8)
    return envelope, message.as_bytes()


def _sender(user: str, host: str) -> str:
    if "@" in user:
        return user
    try:
        return f"{getpass.getuser()}@{host}"
    except KeyError:  # a user without a name, as in a container
        return f"skitai@{host}"


def what_became_of(mail_id: str, spool: Spool, patience: float) -> tuple[bool, str]:
    """Return whether all is well, and a sentence, once something became of the mail.

    After ``patience`` seconds without anything, that is what is told.
    """
    deadline = time.monotonic() + patience
    while True:
        entry = read_entry(mail_id, spool.place("spool"))
        if entry is None:
            break
        if entry.last is not None:
            wait = duration(max((entry.next_at or 0) - time.time(), 0))
            return False, f"not sent yet; next try in {wait}: {reply(entry.last)}"
        if time.monotonic() >= deadline:
            return True, "waits: no agent has tried it yet (does one run?)"
        time.sleep(_LOOK_SECONDS)
    for name in ("undeliver", "bad"):
        entry = read_entry(mail_id, spool.folder / name)
        if entry is not None:
            return False, f"not sent: {entry.reason}"
    return True, "sent"
