"""The command line of ``skitai-mail``."""

from __future__ import annotations

import json
import math
import sys
import time
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from functools import partial
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import get_args

import attrs

import skitai
from skitai.daemon.mail.rules import make_rules
from skitai.daemon.mail.settings import MailSettings, as_owner, read_settings
from skitai.daemon.mail.shown import STATES, as_json, details, plain, table
from skitai.daemon.mail.trying import trial_mail, what_became_of
from skitai.errors import ConfigError
from skitai.mail.agents import look
from skitai.mail.files import MESSAGE, open_plain
from skitai.mail.listing import Entry, read_entry
from skitai.mail.spool import Place, Spool
from skitai.processes.orders import EXIT_CONFIG

#: The exit status of ``status`` if nothing runs (LSB 3.1, 20.2).
_EXIT_NOT_RUNNING = 3
#: As many lines of a message are shown at most: header fields end at the first empty line.
_MOST_HEADERS = 1000
_LONGEST_HEADER = 10000
#: As many mails are named at most where a prefix means several.
_MOST_NAMED = 5


class CommandError(Exception):
    """What was asked for cannot be done."""


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    options = _parser().parse_args(words)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that knows no Unicode
            stream.reconfigure(errors="backslashreplace")
    try:
        read = partial(read_settings, options.config)
        settings = as_owner(read(), read)
        status: int = options.action(Spool(settings.spool), settings, options)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    except (CommandError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            return 0
        print(f"skitai-mail: {plain(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    return status


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="skitai-mail", description="Shows and steers mail that is to be sent.")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="that of a server, or skitaid.conf, which is the default"
    )
    parser.add_argument("--version", action="version", version=f"Skitai {skitai.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, action: Callable[[Spool, MailSettings, Namespace], int], text: str
    ) -> ArgumentParser:
        added = commands.add_parser(name, help=text, description=f"skitai-mail {name}: {text}.")
        added.set_defaults(action=action)
        added.add_argument(
            "--config", type=Path, default=SUPPRESS, metavar="FILE", help="as before the command"
        )
        return added

    status = command("status", _status, "tell whether an agent is at work, and what it has done")
    status.add_argument("--json", action="store_true", help="print JSON")
    queue = command("queue", _queue, "list the mails that wait, and those that were given up")
    queue.add_argument("--json", action="store_true", help="print JSON")
    for name, action, text in (
        ("show", _show, "show all about a mail but its body"),
        ("retry", _retry, "try to send a mail now"),
        ("drop", _drop, "remove a mail for good"),
    ):
        command(name, action, text).add_argument("id", metavar="ID", help="its id, or the beginning of it")
    test = command("test", _test, "send a small mail, and tell what became of it")
    test.add_argument("address", metavar="ADDRESS", help="who gets it")
    test.add_argument("--from", dest="sender", metavar="ADDRESS", help="the sender; default: this user")
    test.add_argument("--wait", type=_seconds, default=10.0, metavar="SECONDS", help="default: 10")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):  # it would never be over
        raise ValueError
    return value


def _queue(spool: Spool, _settings: MailSettings, options: Namespace) -> int:
    entries = [entry for name in get_args(Place) for entry in spool.entries_in(name)]
    if options.json:
        print(json.dumps([as_json(entry) for entry in entries], indent=2))
    elif entries:
        print(table(entries, time.time()), end="")
    else:
        print("no mail waits", file=sys.stderr)
    return 0


def _status(spool: Spool, _settings: MailSettings, options: Namespace) -> int:
    figures = look(spool.folder)
    found = {
        "spool": str(spool.folder),
        **attrs.asdict(figures),
        **{f"in_{name}": len(spool.ids_in(name)) for name in get_args(Place)},
    }
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            print(f"{name:12} {value}")
    return 0 if figures.agents else _EXIT_NOT_RUNNING


def _show(spool: Spool, _settings: MailSettings, options: Namespace) -> int:
    entry = _find(spool, options.id)
    print(details(entry, _headers(spool.folder / entry.place / f"{entry.id}{MESSAGE}"), time.time()), end="")
    return 0


def _headers(path: Path) -> list[str]:
    """Return the lines of the header section as they are written."""
    try:
        with open(open_plain(path, 0), "rb") as file:
            lines = list(islice(iter(partial(file.readline, _LONGEST_HEADER), b""), _MOST_HEADERS))
    except OSError as error:
        return [f"the message cannot be read: {error}"]
    stripped = [line.rstrip(b"\r\n").decode("utf-8", "backslashreplace") for line in lines]
    return stripped[: stripped.index("")] if "" in stripped else stripped


def _retry(spool: Spool, _settings: MailSettings, options: Namespace) -> int:
    entry = _find(spool, options.id)
    try:
        is_free = spool.retry(entry.id, _place(entry))
    except ValueError as error:
        raise CommandError(f"{entry.id} cannot be sent: {error}") from error
    return _done(spool, entry, "is due now" if is_free else None)


def _drop(spool: Spool, _settings: MailSettings, options: Namespace) -> int:
    entry = _find(spool, options.id)
    return _done(spool, entry, "is removed" if spool.drop(entry.id, _place(entry)) else None)


def _done(spool: Spool, entry: Entry, what: str | None) -> int:
    """Say what was done with a mail; without ``what``, why it could not be."""
    if what is None:
        if read_entry(entry.id, spool.place(_place(entry))) is None:
            raise CommandError(f"{entry.id} is not {STATES[entry.place]} any more")
        raise CommandError(f"{entry.id} is being sent: ask again later")
    print(f"{entry.id} {what}")
    return 0


def _find(spool: Spool, prefix: str) -> Entry:
    """Return the mail whose id is, or begins with, ``prefix``."""
    known = {mail_id: name for name in reversed(get_args(Place)) for mail_id in spool.ids_in(name)}
    found = (
        [prefix] if prefix in known else sorted(name for name in known if prefix and name.startswith(prefix))
    )
    if len(found) > 1:
        more = ", ..." if len(found) > _MOST_NAMED else ""
        raise CommandError(f"several ids begin with {prefix}: {', '.join(found[:_MOST_NAMED])}{more}")
    entry = read_entry(found[0], spool.place(known[found[0]])) if found else None
    if entry is None:
        raise CommandError(f"there is no mail {prefix}: skitai-mail queue lists all")
    return entry


def _place(entry: Entry) -> Place:
    return next(name for name in get_args(Place) if name == entry.place)


def _test(spool: Spool, settings: MailSettings, options: Namespace) -> int:
    make_rules(settings)  # an agent would not run with what is wrong
    try:
        mail = trial_mail(options.address, options.sender, settings.values, time.time())
    except ValueError as error:
        print(f"skitai-mail: {plain(str(error))}", file=sys.stderr)
        return EXIT_CONFIG
    spool.write(mail.envelope, mail.content)
    print(mail.envelope.id, flush=True)
    is_well, text = what_became_of(mail.envelope.id, spool, options.wait)
    print(plain(text), file=sys.stdout if is_well else sys.stderr)
    return 0 if is_well else 1
