"""The results of calls to rooms."""

from __future__ import annotations

from typing import Any

from skitai.calls.result import Result


class RoomResult(Result):
    """``data`` is the position of a message that was sent, who is there, or None."""

    empty: Any = None
