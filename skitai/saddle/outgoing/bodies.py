"""The values that a view may return, and the bytes that they stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from numbers import Number
from typing import Any

from skitai.formats.jsontext import as_json
from skitai.http.lasting import LastingBody

#: Bytes to read from a file at a time.
BLOCK = 64 * 1024

_TEXT = "text/html; charset=utf-8"
_JSON = "application/json"
_BINARY = "application/octet-stream"

#: The types of whole pieces of a body.
_TEXTS = (str, bytes, bytearray, memoryview)


class Streamed:
    """A body that is made piece by piece. ``close`` is always called in the end (PEP 3333).

    ``kind`` is its content type if the view sets none, and ``headers`` are other fields that it wants.
    """

    def __init__(
        self,
        pieces: Iterator[bytes],
        sources: Iterable[Any],
        kind: str = _TEXT,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._pieces = pieces
        self._sources = list(sources)
        self._begun = False
        self._call: Callable[..., Any] = _call
        self.kind = kind
        self.headers = headers or {}

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def begin(self) -> None:
        """Make the first piece. If that fails, the client can still be told."""
        if self._begun:
            return
        self._begun = True
        try:
            first = next(self._pieces, None)
        except BaseException:
            self.close()
            raise
        if first is not None:
            self._pieces = chain((first,), self._pieces)

    def outlive(self, call: Callable[..., Any], source: Any) -> None:
        """Go on after the view: also close ``source`` in the end, and call all code by ``call``.

        ``call(function, *arguments)`` returns what ``function(*arguments)`` returns.
        """
        pieces = self._pieces
        # It calls for each piece until there is none.
        self._pieces = iter(partial(call, next, pieces, None), None)
        self._sources.append(source)
        self._call = call

    def shares_with(self, other: Streamed) -> bool:
        """Whether the pieces of both come from the same object."""
        return any(source is theirs for source in self._sources for theirs in other._sources)

    def close(self) -> None:
        """Close everything that the pieces come from, and then raise the first exception, if any."""
        failed: Exception | None = None
        sources, self._sources = self._sources, []
        for source in sources:
            close = getattr(source, "close", None)
            if close is not None:
                try:
                    self._call(close)
                except Exception as error:  # noqa: BLE001 - the others are closed, too
                    failed = failed or error
        if failed is not None:
            raise failed


def body_of(value: Any) -> tuple[bytes | Streamed, str]:
    """Return the body that a view's return value stands for, and its content type if the view sets none.

    A whole body is a str (UTF-8), bytes, a number or None (empty). Files (``read(size)``), iterators and
    objects with ``more()`` are sent piece by piece. A list or tuple of these is sent one after the other.
    Other lists (an empty one, too) and dicts become JSON. A ``LastingBody``, such as the events of a room, is
    sent as it comes. Raises TypeError for anything else, and ValueError for numbers that are not JSON.
    """
    whole = _whole(value)
    if whole is not None:
        return whole
    stream = stream_of(value)
    if stream is not None:
        return stream, stream.kind
    if isinstance(value, list | tuple):
        if not value or not all(isinstance(item, _TEXTS) for item in value):
            return as_json(value), _JSON
        return b"".join(_piece(item) for item in value), _TEXT
    raise TypeError(f"a view returned {type(value).__name__}, which cannot be a body")


def stream_of(value: Any) -> Streamed | None:
    """Return the stream that ``value`` stands for; None if it is a whole body."""
    if isinstance(value, Streamed):
        return value
    if isinstance(value, list | tuple):
        pieces = all(_is_piece(item) for item in value) and any(_is_stream(item) for item in value)
        return Streamed(_chained(value), value) if pieces else None
    if isinstance(value, LastingBody):
        return Streamed(iter(value), [value], headers=value.headers)
    if _is_stream(value):
        return Streamed(_pieces(value), [value], _BINARY if hasattr(value, "read") else _TEXT)
    return None


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _whole(value: Any) -> tuple[bytes, str] | None:
    if value is None:
        return b"", _TEXT
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass"), _TEXT
    if isinstance(value, bytes):  # of any class: the server knows some
        return value, _TEXT
    if isinstance(value, bytearray | memoryview):
        return bytes(value), _TEXT
    if isinstance(value, dict):
        return as_json(value), _JSON
    if isinstance(value, Number):
        return str(value).encode(), _TEXT
    return None


def _is_piece(item: Any) -> bool:
    return isinstance(item, _TEXTS) or _is_stream(item)


def _is_stream(value: Any) -> bool:
    return any(callable(getattr(value, name, None)) for name in ("read", "more", "__next__"))


def _chained(values: Iterable[Any]) -> Iterator[bytes]:
    for value in values:
        whole = _whole(value)
        if whole is None:
            yield from _pieces(value)
        else:
            yield whole[0]


def _pieces(value: Any) -> Iterator[bytes]:
    if callable(getattr(value, "read", None)):
        source: Iterator[Any] = iter(lambda: value.read(BLOCK), None)
    elif callable(getattr(value, "more", None)):
        source = iter(value.more, None)
    else:
        yield from map(_piece, value)
        return
    for piece in source:
        if not piece:  # the end of a file or of an object with more()
            return
        yield _piece(piece)


def _piece(piece: Any) -> bytes:
    whole = _whole(piece)
    if whole is None:
        raise TypeError(f"a stream gave {type(piece).__name__}, not str or bytes")
    return whole[0]
