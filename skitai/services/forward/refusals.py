"""Requests that are not forwarded: the status, a page for the client, and a line in the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from skitai.errors import SkitaiError

_log = Logger()

#: The same refusal of one client is told once in so many seconds, and of so many clients at a time.
_SECONDS, _CLIENTS_MAX = 60.0, 1000


class Refused(SkitaiError):  # noqa: N818 - it says what has happened
    """A request is not forwarded.

    ``code`` is the status, ``key`` the one of ``[server]`` that decides; empty: none does. ``page`` is the
    sentence for the client, ``why`` what the log says beside it; ``fields`` belong to the status.
    """

    def __init__(
        self, code: int, key: str, page: str, why: str = "", fields: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self.code = code
        self.key = key
        self.page = page
        self.why = why or page
        self.fields = fields
        super().__init__(self.why)


class Refusals:
    """Answers and tells of requests that are refused. Called in the reactor thread."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._told: dict[tuple[str, str, int, str], float] = {}

    def answer(self, request: Any, refused: Refused) -> None:
        """Respond to ``request``, unless its client is gone, and have the log say so."""
        self._tell(request, refused)
        if not request.gone:
            key = f" ({refused.key} in [server])" if refused.key else ""
            request.fail(refused.code, *refused.fields, detail=f"The forward proxy: {refused.page}{key}.")

    def _tell(self, request: Any, refused: Refused) -> None:
        """Log a line, but not each time: clients that may not ask can ask often."""
        client = getattr(request.connection.peer, "host", None) or "a Unix socket"
        now = self._seconds()
        # Browsers ask without a password first: that must not hide the line of a wrong one.
        about = (client, refused.key, refused.code, refused.page if refused.code == 407 else "")
        if now < self._told.get(about, 0.0):
            return
        if len(self._told) >= _CLIENTS_MAX:
            self._told.clear()
        self._told[about] = now + _SECONDS
        _log.warn(
            "the forward proxy refuses {method} {target} of {client} with {code}: {why}{key}",
            method=request.method.decode("latin-1"),
            target=request.uri.decode("latin-1"),
            client=client,
            code=refused.code,
            why=refused.why,
            key=f" ([server] {refused.key})" if refused.key else "",
        )
