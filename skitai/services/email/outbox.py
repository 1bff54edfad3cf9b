"""Where mail goes: composed, and written into the spool."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from twisted.logger import Logger

from skitai import __version__
from skitai.loop.native import Lock
from skitai.mail.agents import look
from skitai.mail.envelope import new_id

if TYPE_CHECKING:
    from skitai.mail.message import Draft, Mail
    from skitai.mail.spool import Spool

_MAILER = f"Skitai/{__version__}"

_log = Logger()


class Outbox:
    """Writes mail of at most ``size_max`` bytes into ``spool``.

    ``warning`` is for the log, with the first mail, unless an agent is at work; empty: there is none. The
    methods wait for disks.
    """

    def __init__(self, spool: Spool, size_max: int, warning: str = "") -> None:
        self.spool = spool
        self._size_max = size_max
        self._warning = warning
        self._counting = Lock()
        #: How many mails it has written, and how many it could not write.
        self.written = self.failed = 0

    def composed(self, draft: Draft) -> Mail:
        """Return the mail of ``draft``, with a new id. Raises what ``Draft.compose`` raises."""
        now = time.time()
        return draft.compose(new_id(now), now, self._size_max, _MAILER)

    def write(self, mail: Mail) -> None:
        """Write ``mail``, which is safe when this returns. Raises OSError; then nothing is left of it."""
        try:
            self.spool.write(mail.envelope, mail.content)
        except BaseException:
            with self._counting:
                self.failed += 1
            raise
        with self._counting:
            self.written += 1
            warning, self._warning = self._warning, ""
        if warning and not look(self.spool.folder).agents:
            _log.warn("was.email: {warning}", warning=warning)

    def statistics(self) -> dict[str, object]:
        """Return what the status page shows."""
        return {"folder": str(self.spool.folder), "mails": self.written, "failed": self.failed}
