"""The results of ``was.ws``."""

from __future__ import annotations

import json
from typing import Any

from skitai.services.http.result import ReplyResult


class WebSocketResult(ReplyResult):
    """A reply: ``data`` is a str if it came as text, bytes if as binary; ``code`` is 200.

    ``headers`` holds one, ``OPCODE``: ``"1"`` for text, ``"2"`` for binary. If the server refused the
    handshake, ``status`` is 2, ``code`` the HTTP status and ``headers`` are those of its reply. If it closed
    the websocket instead of replying, ``code`` is 700 and ``error`` a ``WebSocketClosed``.
    """

    data: str | bytes

    @property
    def url(self) -> str:
        """The URL of the websocket; without a reply, what the app wrote."""
        url = super().url
        return f"ws{url.removeprefix('http')}" if self.asked else url

    @property
    def text(self) -> str:
        """``data`` as text: bytes are decoded as UTF-8, and those that are not valid become U+FFFD."""
        return self.data if isinstance(self.data, str) else bytes(self.data).decode("utf-8", "replace")

    def json(self, **options: Any) -> Any:
        """Return the value of ``data`` as JSON; ``options`` are those of ``json.loads``.

        Raises ValueError if it is not JSON, and what ``reraise`` raises if there was no reply.
        """
        self.reraise()
        try:
            return json.loads(self.data, **options)
        except RecursionError as error:
            raise ValueError("the JSON is nested too deep") from error
