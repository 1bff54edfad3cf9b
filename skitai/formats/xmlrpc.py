"""XML-RPC documents (xmlrpc.com/spec): the standard library's marshalling, made strict.

A value that XML-RPC would change on the way is refused. Documents are read piece by piece, without entities,
external references or unlimited nesting.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from xmlrpc.client import Fault, Marshaller, ResponseError, Unmarshaller, escape

from defusedxml.common import DTDForbidden
from defusedxml.xmlrpc import DefusedExpatParser

#: How deep elements may be nested. An array in an array is three levels deeper.
DEPTH_MAX = 400

#: Bytes of one tag or comment. The parser reads a partial one from its start again with each piece.
TOKEN_MAX = 32 * 1024

#: Characters that no document can have, not even escaped (XML 1.0, section 2.2).
NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

_ISO_8601 = re.compile(
    r"(?:[0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2})T[0-9:]{8}(?:\.[0-9]{1,9})?(?:Z|[-+][0-9]{2}:?[0-9]{2})?"
)
_INT = re.compile(r"\s*[-+]?[0-9]{1,400}\s*", re.ASCII)

_Write = Callable[[str], Any]


def dump_params(params: tuple[Any, ...]) -> str:
    """Return a tuple as ``<params>``. Ints beyond 32 bits become ``<i8>``, bytes become base64.

    Microseconds of datetimes are left out. Raises TypeError for a type that XML-RPC does not have. Raises
    ValueError for an int beyond 64 bits, NaN and infinity, a datetime with a time zone, a character that XML
    does not allow, and deep nesting.
    """
    return _checked(_marshalled(params))


def dump_call(method: str, params: tuple[Any, ...]) -> str:
    """Return the ``<methodCall>`` document; raises what ``dump_params`` raises."""
    head = f'<?xml version="1.0"?>\n<methodCall>\n<methodName>{escape(method)}</methodName>\n'
    return _checked(f"{head}{_marshalled(params)}</methodCall>\n")


def load_document(text: str | bytes) -> tuple[tuple[Any, ...], str | None]:
    """Return the params of a document and the name of its method, which is None in a response.

    Raises ValueError for a malformed or hostile document. Raises the ``Fault`` of a response that has one.
    """
    reader = DocumentReader()
    for start in range(0, len(text), TOKEN_MAX):
        reader.feed(text[start : start + TOKEN_MAX])
    return reader.close()


class DocumentReader:
    """Reads one document in pieces, so that a long one does not block the reactor."""

    def __init__(self) -> None:
        self._values = _ShallowUnmarshaller(use_builtin_types=True)
        self._parser = _Parser(self._values, forbid_dtd=True)
        self._fed = 0

    def feed(self, data: str | bytes) -> None:
        """Take the next piece. Raises ValueError if it cannot belong to a document."""
        with _complaints():
            self._parser.feed(data)
            self._fed += len(data)
            if self._fed - self._parser.position > TOKEN_MAX:
                raise ValueError(f"a tag or comment has more than {TOKEN_MAX} bytes")

    def close(self) -> tuple[tuple[Any, ...], str | None]:
        """Return what ``load_document`` returns, and raise what it raises."""
        with _complaints():
            self._parser.close()
            return self._values.close(), self._values.getmethodname()


def _marshalled(params: tuple[Any, ...]) -> str:
    try:
        return _StrictMarshaller(allow_none=True).dumps(params)
    except RecursionError as error:
        raise ValueError("params are nested too deep for XML-RPC") from error
    except TypeError as error:
        raise TypeError(f"params: {error}") from error


def _checked(text: str) -> str:
    if bad := NO_XML.search(text):
        raise ValueError(
            f"params have the character {bad[0]!r}, which XML does not allow: send the text as bytes"
        )
    # A reader would turn a bare CR into LF (XML 1.0, section 2.11). Only values of the app can have one.
    return text.replace("\r", "&#13;")


@contextmanager
def _complaints() -> Iterator[None]:
    try:
        yield
    except Fault:
        raise
    except DTDForbidden as error:
        raise ValueError("not an XML-RPC document: it has a DTD, which may be a bomb") from error
    except ResponseError as error:
        raise ValueError("not an XML-RPC document: it has no params") from error
    except Exception as error:  # the standard library raises a dozen kinds of exception
        raise ValueError(f"not an XML-RPC document: {error!s:.200}") from error


class _Parser(DefusedExpatParser):
    """A parser that tells its position."""

    @property
    def position(self) -> int:
        """The number of bytes before the current tag."""
        position: int = self._parser.CurrentByteIndex  # type: ignore[attr-defined]  # stubs hide the parser
        return position


class _ShallowUnmarshaller(Unmarshaller):
    """The standard library's unmarshaller with a limit on nesting, and with strict values."""

    _depth = 0
    dispatch: dict[str, Callable[..., None]] = dict(Unmarshaller.dispatch)  # noqa: RUF012 - as in its base

    def end_plain_int(self, data: str) -> None:
        if not _INT.fullmatch(data):
            raise ValueError(f"{data!r:.80} is not an int")
        self.append(int(data))
        self._value = False

    for tag in ("i1", "i2", "i4", "i8", "int", "biginteger"):
        dispatch[tag] = end_plain_int

    def end_strict_base64(self, data: str) -> None:
        self.append(base64.b64decode("".join(data.split()), validate=True))
        self._value = False

    dispatch["base64"] = end_strict_base64

    def end_iso_datetime(self, data: str) -> None:
        self.append(_datetime(data.strip()))
        self._value = False

    dispatch["dateTime.iso8601"] = end_iso_datetime

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise ValueError(f"elements are nested more than {DEPTH_MAX} deep")
        super().start(tag, attrs)

    def end(self, tag: str) -> None:
        self._depth -= 1
        super().end(tag)
        # The text has been used. Kept, it would be joined again at the end of each outer element.
        self._data = []


def _datetime(text: str) -> datetime:
    """Return a datetime in any form that servers write: with or without hyphens and a time zone."""
    if _ISO_8601.fullmatch(text):
        return datetime.fromisoformat(text)
    return datetime.strptime(text, "%Y%m%dT%H:%M:%S")


class _StrictMarshaller(Marshaller):
    """The standard library's marshaller with ``<i8>``. Refuses values that would arrive changed."""

    dispatch: dict[Any, Callable[..., None]] = dict(Marshaller.dispatch)  # noqa: RUF012 - as in its base

    def dump_integer(self, value: int, write: _Write) -> None:
        bits = (value if value >= 0 else ~value).bit_length()
        if bits > 63:
            raise ValueError(f"params have an int of {bits + 1} bits, XML-RPC has 64: send it as str")
        tag = "int" if bits < 32 else "i8"
        write(f"<value><{tag}>{value}</{tag}></value>\n")

    dispatch[int] = dump_integer

    def dump_number(self, value: float, write: _Write) -> None:
        if not math.isfinite(value):
            raise ValueError(f"params have {value}, which XML-RPC does not have")
        self.dump_double(value, write)

    dispatch[float] = dump_number

    def dump_naive_datetime(self, value: datetime, write: _Write) -> None:
        if value.tzinfo is not None:
            raise ValueError(f"params have {value}, but XML-RPC has no time zones: remove tzinfo")
        self.dump_datetime(value, write)

    dispatch[datetime] = dump_naive_datetime

    def refuse(self, value: object, write: _Write) -> None:  # noqa: ARG002 - as all in dispatch
        # The standard library would send all attributes of the object.
        raise TypeError(f"cannot marshal {type(value)} objects")

    dispatch["_arbitrary_instance"] = refuse
