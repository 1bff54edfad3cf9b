"""What an HTTP call came to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skitai.calls.result import Result


class HTTPResult(Result):
    """A reply: ``code`` is its HTTP status, ``msg`` the words for it, ``data`` the decoded body as bytes.

    ``version`` is ``"1.1"`` or ``"1.0"``, ``headers`` the (name, value) pairs in the order they came. Any
    HTTP status is a normal outcome (``status`` 3).
    """

    def __init__(
        self,
        data: bytes = b"",
        *,
        version: str = "1.1",
        headers: Sequence[tuple[str, str]] = (),
        **outcome: Any,
    ) -> None:
        super().__init__(data, **outcome)
        self.version = version
        self.headers = headers

    @property
    def header(self) -> list[str]:
        """The header lines as ``"Name: value"``."""
        return [f"{name}: {value}" for name, value in self.headers]

    def get_header(self, name: str) -> str | None:
        """Return the value of the first header of that name, in any case, or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)
