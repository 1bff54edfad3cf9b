"""The delivery agent: notices mail, has threads deliver it, and ends in good order."""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from skitai.daemon.mail.delivery import Office, Worker
from skitai.daemon.mail.intake import Intake
from skitai.daemon.mail.noticing import FolderWatch
from skitai.daemon.mail.queue import Key, Queue
from skitai.daemon.mail.rules import Rules, make_rules
from skitai.daemon.mail.settings import MailSettings
from skitai.errors import ConfigError
from skitai.loop.native import start_thread
from skitai.mail.spool import Spool

_log = Logger()

#: Seconds between two looks at the spool, where the system tells of changes, and where it does not.
_LOOK_SECONDS, _POLL_SECONDS = 30.0, 3.0
_CLEAN_UP_SECONDS = 3600.0
#: Seconds between two looks whether there is something to tell monitoring.
_TELL_SECONDS = 2.0
#: Seconds that mail in hand has at the end, and further ones until those threads are left alone.
STOP_SECONDS, _ABORT_SECONDS = 10.0, 2.0


class Agent(Service):
    """Delivers what is in the spool of ``settings``.

    ``read()`` reads the settings anew, and may raise ConfigError. Called in the reactor thread.
    """

    def __init__(
        self,
        settings: MailSettings,
        read: Callable[[], MailSettings],
        reactor: Any,
        clock: Callable[[], float] = time,
    ) -> None:
        """Raise ConfigError for settings that cannot be used, such as a folder that cannot be made."""
        self._settings = settings
        self._read = read
        self._reactor = reactor
        self._clock = clock
        spool = Spool(settings.spool)
        try:
            spool.make_folders()
        except OSError as error:
            raise ConfigError(f"cannot use the spool: {error}", path=str(settings.path)) from None
        self.queue = Queue(clock, self._hire, lambda: reactor.callFromThread(self._set_timer))
        self.office = Office(spool, self.queue, make_rules(settings), clock)
        self._intake = Intake(self.office)
        self._watch: FolderWatch | None = None
        self._timer: Any = None
        self._loops: list[LoopingCall] = []
        self._gone: Deferred[None] | None = None
        self._take(self.office.rules)

    def startService(self) -> None:
        """Begin."""
        super().startService()  # type: ignore[no-untyped-call]
        # Not before there is who handles SIGTERM: that would be the end of us in the midst of a mail.
        self._reactor.callWhenRunning(self._begin)

    def _begin(self) -> None:
        self._intake.start()
        seconds = _LOOK_SECONDS if self._begin_watch() else _POLL_SECONDS
        self._repeat(self._intake.look, seconds)
        self._repeat(self._timer_is_up, seconds)  # the clock may have been set meanwhile
        self._repeat(self.office.abort_late, seconds)
        self._repeat(self._intake.clean_up, _CLEAN_UP_SECONDS)
        self._repeat(self._intake.tell, _TELL_SECONDS)
        folder, target = str(self._settings.spool), self.office.rules.target
        _log.info("mail in {folder} goes to {target}", folder=folder, target=target)

    def stopService(self) -> Deferred[None]:
        """End: finish the mails in hand, within a limit; a Deferred tells when that is done."""
        super().stopService()  # type: ignore[no-untyped-call]
        for loop in self._loops:
            loop.stop()
        self._loops.clear()
        if self._watch is not None:
            self._watch.end()
        self._intake.stop()
        self.office.ending.set()
        self.queue.stop()
        self._set_timer()
        gone: Deferred[None] = Deferred()
        self._gone = gone
        if self.queue.workers:
            _log.info("mail in hand is finished first, for at most {seconds:g} seconds", seconds=STOP_SECONDS)
            aborting = self._reactor.callLater(STOP_SECONDS, self.office.abort_all)
            leaving = self._reactor.callLater(STOP_SECONDS + _ABORT_SECONDS, self._all_gone)
            gone.addBoth(lambda _result: [call.cancel() for call in (aborting, leaving) if call.active()])
        else:
            self._all_gone()
        return gone

    def reload(self) -> None:
        """Read the settings anew; wrong ones leave all as it was."""
        try:
            settings = self._read()
            if settings.spool != self._settings.spool:
                _log.warn("another spool counts after a restart only: {folder}", folder=str(settings.spool))
            rules = make_rules(settings)
        except ConfigError as error:
            _log.error("{error}; the settings of before go on", error=str(error))
            return
        self._settings = settings
        self._take(rules)
        self.queue.retry()
        _log.info("mail goes to {target}", target=rules.target)

    def _take(self, rules: Rules) -> None:
        self.office.rules = rules
        self.queue.limit(rules.connections, rules.rate)

    # -- noticing mail -------------------------------------------------------------------------------------

    def _begin_watch(self) -> bool:
        """Have the system tell of new mail; return whether it does."""
        try:
            self._watch = FolderWatch(self.office.spool.incoming, self._intake.notice, self._reactor)
        except OSError as error:
            _log.warn("mail is noticed late: {error}", error=str(error))
            return False
        self._repeat(self._watch.look, _LOOK_SECONDS)
        return True

    def _repeat(self, action: Callable[[], object], seconds: float) -> None:
        loop = LoopingCall(action)
        loop.clock = self._reactor
        self._loops.append(loop)
        loop.start(seconds)

    # -- workers -------------------------------------------------------------------------------------------

    def _hire(self, key: Key) -> None:
        """Start a thread that delivers; called in any thread."""
        start_thread(lambda: self._work(key), "mail delivery")

    def _work(self, key: Key) -> None:
        try:
            Worker(self.office, key).run()
        except Exception:  # noqa: BLE001 - of our own making
            _log.failure("a thread that delivers has failed")
        self._reactor.callFromThread(self._worker_left)

    def _worker_left(self) -> None:
        if self._gone is not None and not self.queue.workers:
            self._all_gone()

    def _all_gone(self) -> None:
        gone, self._gone = self._gone, None
        if gone is not None:
            gone.callback(None)

    def _set_timer(self) -> None:
        """See that the queue is looked at again when its next mail is due."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        at = None if self.queue.is_stopping else self.queue.next_time()
        if at is not None:
            self._timer = self._reactor.callLater(max(at - self._clock(), 0.0), self._timer_is_up)

    def _timer_is_up(self) -> None:
        self.queue.start_workers()
        self._set_timer()
