"""The small mail that ``skitai-mail test`` sends, and what becomes of it."""

from __future__ import annotations

import getpass
import socket
import time
from collections.abc import Mapping
from typing import Any

import skitai
from skitai.daemon.mail.shown import reply
from skitai.daemon.skitaid.shown import duration
from skitai.mail.addresses import Address, parse_address
from skitai.mail.agents import look
from skitai.mail.envelope import new_id
from skitai.mail.listing import read_entry
from skitai.mail.message import Draft, Mail, Text
from skitai.mail.spool import Spool

_LOOK_SECONDS = 0.05


def trial_mail(address: str, sender: str | None, values: Mapping[str, Any], now: float) -> Mail:
    """Return the mail to ``address``; ``values`` are those of ``[smtpda]``.

    Raises ValueError, with a sentence for people, for what is no address.
    """
    host = values["helo"] or socket.getfqdn()
    draft = Draft(
        subject=f"Test mail from {host}",
        sender=_sender(values["user"] or "", host) if sender is None else parse_address(sender, "--from"),
        to=(parse_address(address),),
    )
    draft.texts.append(Text(f"This is a test: skitai-mail on {host} has sent it.\n"))
    return draft.compose(new_id(now), now, values["max_size"], f"Skitai/{skitai.__version__}")


def _sender(login: str, host: str) -> Address:
    """Return the address that mail from this user has."""
    try:
        return parse_address(login if "@" in login else f"{getpass.getuser()}@{host}")
    except (KeyError, ValueError):  # no name of the user, as in a container, or a strange one of the host
        raise ValueError("this user has no address on this host: use --from") from None


def what_became_of(mail_id: str, spool: Spool, patience: float) -> tuple[bool, str]:
    """Return whether all is well, and a sentence, once something became of the mail.

    After ``patience`` seconds without anything, that is what is told; at once, if no agent is at work.
    """
    deadline = time.monotonic() + patience
    while True:
        entry = read_entry(mail_id, spool.place("spool"))
        if entry is None:
            break
        if entry.last is not None:
            wait = duration(max((entry.next_at or 0) - time.time(), 0))
            return False, f"not sent yet; next try in {wait}: {reply(entry.last)}"
        if not look(spool.folder).agents:
            return False, "waits: no agent is at work on this spool; see skitai-mail status"
        if time.monotonic() >= deadline:
            return False, "waits: the agent has not tried it yet; its log says if the server takes no mail"
        time.sleep(_LOOK_SECONDS)
    for name in ("undeliver", "bad"):
        entry = read_entry(mail_id, spool.folder / name)
        if entry is not None:
            return False, f"not sent: {entry.reason}"
    return True, "sent"
