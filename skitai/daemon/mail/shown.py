"""How ``skitai-mail`` shows mails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import attrs

from skitai.daemon.skitaid.shown import duration
from skitai.mail.listing import Entry
from skitai.mail.state import RecipientOutcome

#: What people call the folders.
STATES = {"spool": "waiting", "undeliver": "undelivered", "bad": "bad"}
_HEAD = ("ID", "STATE", "CREATED", "TRIES", "NEXT", "FROM", "TO", "SUBJECT", "LAST")
_MOST = {"FROM": 30, "TO": 40, "SUBJECT": 40, "LAST": 70}


def plain(text: str) -> str:
    """Return ``text`` as one line that does nothing to a terminal: what cannot be printed is escaped."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def table(entries: Iterable[Entry], now: float) -> str:
    """Return a line for each mail, which begins with its id, below a heading."""
    rows = [list(_HEAD), *(_row(entry, now) for entry in entries)]
    rows = [
        [_cut(plain(cell), _MOST.get(name)) for name, cell in zip(_HEAD, row, strict=True)] for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


def _row(entry: Entry, now: float) -> Sequence[str]:
    return (
        entry.id,
        STATES[entry.place],
        moment(entry.created),
        str(entry.tries),
        _next(entry, now),
        entry.sender or "<>",
        ", ".join(entry.pending or entry.recipients),
        entry.subject,
        reply(entry.last) if entry.last else entry.reason,
    )


def _cut(text: str, most: int | None) -> str:
    return text if most is None or len(text) <= most else f"{text[: most - 3]}..."


def _next(entry: Entry, now: float) -> str:
    if entry.place != "spool":
        return "-"
    return "now" if entry.next_at is None or entry.next_at <= now else f"in {duration(entry.next_at - now)}"


def moment(when: float | None) -> str:
    """Return a time, in seconds since the epoch, in the zone of this host."""
    return "-" if when is None else f"{datetime.fromtimestamp(when):%Y-%m-%d %H:%M:%S}"


def reply(outcome: RecipientOutcome) -> str:
    """Return what a server said, or what went wrong."""
    return f"{outcome.code} {outcome.reply}" if outcome.code else outcome.reply


def as_json(entry: Entry) -> dict[str, Any]:
    """Return what ``queue --json`` tells of a mail."""
    return {
        "id": entry.id,
        "state": STATES[entry.place],
        "created": entry.created,
        "sender": entry.sender,
        "recipients": list(entry.recipients),
        "pending": list(entry.pending),
        "subject": entry.subject,
        "tries": entry.tries,
        "next_at": entry.next_at,
        "last": attrs.asdict(entry.last) if entry.last else None,
        "reason": entry.reason,
    }


def details(entry: Entry, headers: Sequence[str], now: float) -> str:
    """Return all about one mail, without its password and body."""
    lines = [f"{name + ':':12} {plain(value)}".rstrip() for name, value in _details(entry, now)]
    return "".join(f"{line}\n" for line in [*lines, "", *map(plain, headers)])


def _details(entry: Entry, now: float) -> Iterator[tuple[str, str]]:
    yield "ID", entry.id
    yield "State", STATES[entry.place]
    for line in entry.reason.splitlines():
        yield "Reason", line
    yield "Tries", str(entry.tries)
    yield "Next try", _next(entry, now)
    if entry.envelope is None:
        return
    yield "Created", moment(entry.created)
    yield "Server", _server(entry)
    if entry.envelope.needs_utf8:
        yield "Needs", "SMTPUTF8"
    yield "Subject", entry.subject
    yield "Sender", entry.sender or "<>"
    for address in entry.recipients:
        outcome = entry.state.outcomes.get(address)
        said = f"{outcome.verdict}: {reply(outcome)}" if outcome else "not tried yet"
        yield "Recipient", f"{address} ({said})"


def _server(entry: Entry) -> str:
    assert entry.envelope is not None
    server = entry.envelope.server
    if server is None:
        return "that of the configuration"
    parts = [server.address, "SSL" if server.ssl else ""]
    if server.user:
        parts.append(f"user {server.user}")
    if server.password:
        parts.append("password ***")
    return ", ".join(filter(None, parts))
