"""Takes note of what is in the spool, in a thread of its own: reading files must not hold up the reactor."""

from __future__ import annotations

import os
from collections.abc import Callable

from twisted.logger import Logger

from skitai.daemon.mail.delivery import Office
from skitai.daemon.mail.lanes import Waiting
from skitai.daemon.mail.retries import due_at
from skitai.loop import native
from skitai.mail.agents import Presence
from skitai.mail.claim import read_envelope, read_state
from skitai.mail.files import ENVELOPE
from skitai.mail.spool import Spool
from skitai.mail.state import state_from

_log = Logger()

#: Seconds after which a file without an envelope is what a crash has left.
_LEFTOVER_SECONDS = 3600.0


class Intake:
    """Tells the queue of ``office`` of each mail. Every method but ``run`` may be called in any thread."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._spool: Spool = office.spool
        self._jobs: native.SimpleQueue[Callable[[], None] | None] = native.SimpleQueue()
        self._seen = 0
        self._presence: Presence | None = None
        self._told: dict[str, int] = {}

    def start(self) -> None:
        """Start the thread."""
        native.start_thread(self.run, "mail intake")

    def stop(self) -> None:
        """Have the thread end, after what it was told before."""
        self._jobs.put(None)

    def notice(self, mail_id: str) -> None:
        """The envelope of the mail was written, or touched."""
        self._jobs.put(lambda: self._read(mail_id))

    def look(self) -> None:
        """Look whether there is mail that nobody has told of."""
        self._jobs.put(self._look)

    def tell(self) -> None:
        """Have others read what the agent counts, if that has changed."""
        figures = self._office.figures()
        if figures != self._told:
            self._told = figures
            self._jobs.put(lambda: self._tell(figures))

    def clean_up(self) -> None:
        """Remove undelivered mail that is old enough, and what crashes have left."""
        self._jobs.put(self._clean_up)

    def run(self) -> None:
        """Do what there is to do until ``stop``."""
        try:
            self._presence = Presence(self._spool.folder)
        except OSError as error:
            _log.warn("nobody sees that the agent is at work: {error}", error=str(error))
        try:
            self._run()
        finally:
            if self._presence is not None:
                self._presence.end()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except OSError as error:
                _log.error("cannot read the spool: {error}", error=str(error))
            except Exception:  # noqa: BLE001 - the thread must go on
                _log.failure("spool")

    def _look(self) -> None:
        # A folder that nothing has come into or gone from need not be read again: there may be thousands.
        office = self._office
        changed = os.stat(self._spool.incoming).st_mtime_ns
        if changed == self._seen and not office.has_left_some:
            return
        office.has_left_some = False
        for mail_id in self._spool.ids():
            if not office.queue.knows(mail_id):
                self._read(mail_id)
        self._seen = changed

    def _read(self, mail_id: str) -> None:
        folder = self._spool.incoming
        try:
            envelope = read_envelope(mail_id, folder)
            next_at = state_from(read_state(mail_id, folder)).next_at
        except FileNotFoundError:
            return  # somebody was faster
        except (OSError, ValueError):
            self._set_aside(mail_id)
            return
        at = due_at(next_at, self._office.clock())
        self._office.queue.add(envelope.server, Waiting(at, mail_id, envelope.created))

    def _set_aside(self, mail_id: str) -> None:
        """Have a mail that cannot be read moved to ``bad/``."""
        claim = self._spool.claim(mail_id)
        if claim is not None:  # it can, now
            claim.release()
            self.notice(mail_id)
        elif not (self._spool.incoming / f"{mail_id}{ENVELOPE}").exists():
            _log.error("mail {id} cannot be read; it is in bad, with the reason beside it", id=mail_id)

    def _tell(self, figures: dict[str, int]) -> None:
        if self._presence is not None:
            self._presence.say(figures)

    def _clean_up(self) -> None:
        keep = self._office.rules.keep_seconds
        removed = self._spool.purge(keep) if keep is not None else 0
        if removed:
            _log.info("{count} undelivered mails were removed: they were old enough", count=removed)
        self._spool.clean(_LEFTOVER_SECONDS)
