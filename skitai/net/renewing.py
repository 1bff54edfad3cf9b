"""Certificates are read again when their files change, and the log says when one of them is about to end."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from time import time
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from skitai.net.certificates import Stamp, ending, untimely
from skitai.net.pem import TLSConfigError
from skitai.net.server_tls import ServerTLS, Shown

#: Seconds between two looks. Files must be the same in two looks: a certificate and its key come one after
#: the other.
LOOK_SECONDS = 10.0

_HIDDEN = "this user may not look at the files of the certificate for {title}: new ones are read on SIGHUP"
_log = Logger()


class Renewal:
    """Looks at the files of ``tls``, and has it show what they hold.

    What cannot be used leaves the certificate of before, and the log says why, once. At the beginning of each
    day (UTC), the log warns of certificates that end soon, if ``speaks()``. Called in the reactor thread.
    """

    def __init__(
        self,
        tls: ServerTLS,
        reactor: Any,
        speaks: Callable[[], bool],
        wall_clock: Callable[[], float] = time,
    ) -> None:
        self._tls = tls
        self._speaks = speaks
        self._wall_clock = wall_clock
        #: The stamps of files that changed, until they are read, and of those that were of no use.
        self._changed: dict[Shown, tuple[Stamp, ...]] = {}
        self._refused: dict[Shown, tuple[Stamp, ...]] = {}
        self._day = self._today()
        self._looks = LoopingCall(self._look)
        self._looks.clock = reactor

    def start(self) -> None:
        """Begin to look. What has changed since the files were read is read now."""
        for shown in self._tls:
            source = shown.loaded.source
            if source.is_hidden:
                self._refused[shown] = source.stamps()
                _log.info(_HIDDEN, title=source.title)
            elif source.stamps() != shown.loaded.stamps:
                self._read(shown)
        self._looks.start(LOOK_SECONDS, now=False)

    def stop(self) -> None:
        """Look no longer."""
        if self._looks.running:
            self._looks.stop()

    def _look(self) -> None:
        try:
            for shown in self._tls:
                self._look_at(shown)
            if self._today() != self._day:
                self._day = self._today()
                self._warn()
        except Exception:  # noqa: BLE001 - the next look may succeed
            _log.failure("certificates cannot be looked at")

    def _look_at(self, shown: Shown) -> None:
        stamps = shown.loaded.source.stamps()
        if stamps in (shown.loaded.stamps, self._refused.get(shown)):
            self._changed.pop(shown, None)
        elif stamps == self._changed.get(shown):
            self._read(shown)
        else:
            self._changed[shown] = stamps

    def _read(self, shown: Shown) -> None:
        self._changed.pop(shown, None)
        source, now = shown.loaded.source, self._wall_clock()
        self._refused[shown] = source.stamps()
        try:
            loaded = source.read()
            wrong = untimely(loaded.identity.certificate, now)
            if wrong and not untimely(shown.loaded.identity.certificate, now):
                raise TLSConfigError("certfile", f"the certificate in {source.files[0]} {wrong}")  # noqa: TRY301
            self._tls.renew(shown, loaded)
        except TLSConfigError as error:
            _log.error(
                "the certificate for {title} stays what it was: {reason}",
                title=source.title, reason=error.sentence,
            )  # fmt: skip
            return
        del self._refused[shown]
        _log.info("the certificate for {title} was read anew", title=source.title)

    def _warn(self) -> None:
        if not self._speaks():
            return
        for shown in self._tls:
            said = ending(shown.loaded.identity.certificate, self._wall_clock())
            if said:
                source = shown.loaded.source
                _log.warn("the certificate for {title} {said}", title=source.title, said=said)

    def _today(self) -> datetime.date:
        return datetime.datetime.fromtimestamp(self._wall_clock(), datetime.UTC).date()
