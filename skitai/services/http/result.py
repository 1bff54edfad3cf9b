"""The results of HTTP calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from skitai.calls.result import Result
from skitai.errors import FAILED, OperationError
from skitai.formats.spelling import called_otherwise
from skitai.http.charsets import codec_of
from skitai.http.fields import split_parameters
from skitai.services.http.words import ATTRIBUTES


@called_otherwise(ATTRIBUTES)
class ReplyResult(Result):
    """A result that came as an HTTP reply; its subclasses define ``data``.

    ``version`` is ``"1.1"`` or ``"1.0"``, ``headers`` the (name, value) pairs in the order they came.
    """

    #: The path and query that the node was asked for; empty if no reply came.
    asked = ""

    def __init__(
        self,
        data: Any = b"",
        *,
        version: str = "1.1",
        headers: Sequence[tuple[str, str]] = (),
        **outcome: Any,
    ) -> None:
        super().__init__(data, **outcome)
        self.version = version
        self.headers = headers

    @property
    def url(self) -> str:
        """The URL that the reply came from, after any redirects; without a reply, what the app wrote."""
        if self.node is None or not self.asked:
            return self.target or ""
        return f"{'https' if self.node.tls else 'http'}://{self.node.authority}{self.asked}"

    @property
    def header(self) -> list[str]:
        """The header lines as ``"Name: value"``."""
        return [f"{name}: {value}" for name, value in self.headers]

    def get_header(self, name: str) -> str | None:
        """Return the value of the first header of that name, in any case, or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def as_kept(self) -> ReplyResult:
        """Return the copy that the cache keeps."""
        kept = super().as_kept()
        assert isinstance(kept, ReplyResult)
        kept.headers = list(self.headers)
        return kept

    def raise_for_status(self) -> None:
        """Raise what ``reraise`` does, and ``OperationError`` for a code from 400 on."""
        self.reraise()
        if self.code >= 400:
            raise OperationError(self.msg, code=self.code, status=FAILED, node=self.node, url=self.url)


class HTTPResult(ReplyResult):
    """A reply: ``code`` is its HTTP status, ``msg`` the reason phrase, ``data`` the decoded body as bytes.

    Any HTTP status is a normal outcome (``status`` 3).
    """

    data: bytes
    #: The trailers of a reply that a sink took, once that is complete; of others they are dropped.
    trailers: Sequence[tuple[str, str]] = ()

    @property
    def text(self) -> str:
        """``data`` as text: in the charset that the reply names, else UTF-8, else latin-1.

        A charset is one of those that browsers know (see ``skitai.http.charsets``); any other name counts as
        none. Bytes that are not valid in the named charset become U+FFFD.
        """
        data = bytes(self.data)
        codec = codec_of(split_parameters(self.get_header("content-type") or "")[1].get("charset", ""))
        if codec is not None:
            return data.decode(codec, "replace")
        with suppress(ValueError):
            return data.decode("utf-8-sig")
        return data.decode("latin-1")

    def json(self, **options: Any) -> Any:
        """Return the value of ``data`` as JSON; ``options`` are those of ``json.loads``.

        Raises ValueError if it is not JSON, and what ``reraise`` raises if there was no reply.
        """
        self.reraise()
        try:
            # json.loads finds the encoding itself: a charset has no meaning for JSON (RFC 8259, section 11).
            return json.loads(self.data, **options)
        except UnicodeDecodeError:
            return json.loads(self.text, **options)
        except RecursionError as error:
            raise ValueError("the JSON is nested too deep") from error
