"""XML-RPC documents on the server's side (xmlrpc.com/spec).

A request is read without entities and bottomless nesting; a value that XML-RPC has no form for is refused
rather than changed on the way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from xmlrpc.client import Fault, Marshaller, Unmarshaller

from defusedxml.xmlrpc import DefusedExpatParser

# Elements in one another; an array in an array is three deeper.
_DEPTH_MAX = 400

_FIRST_TAG = re.compile(rb"<([^?!\s/>][^\s/>]*)")
_HEAD = 4096

# XML 1.0, section 2.2: no document can hold these, however they are written.
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

_Write = Callable[[str], Any]


def looks_like_call(body: bytes) -> bool:
    """Whether a body's first tag is that of an XML-RPC call, in UTF-8 or UTF-16."""
    tag = _FIRST_TAG.search(body[:_HEAD].replace(b"\0", b""))
    return tag is not None and tag[1] == b"methodCall"


def load_call(body: bytes) -> tuple[str, tuple[Any, ...]]:
    """Return the method and the params of a ``<methodCall>``; raise ValueError for what is none."""
    values = _ShallowUnmarshaller(use_builtin_types=True)
    parser = DefusedExpatParser(values, forbid_dtd=True)
    try:
        parser.feed(body)
        parser.close()
        params, method = values.close(), values.getmethodname()
    except Exception as error:  # the standard library meets nonsense with a dozen kinds of exception
        raise ValueError(f"not an XML-RPC call: {error!s:.200}") from error
    if not method:
        raise ValueError("not an XML-RPC call: it names no method")
    return method, tuple(params)


def dump_value(value: Any) -> bytes:
    """Return the response that holds a value; ints beyond 32 bits become ``<i8>``, bytes base64, None nil.

    Raises TypeError for what XML-RPC has no form for, and ValueError for an int beyond 64 bits, a float that
    is no number, a datetime with a time zone, a character that XML cannot say and nesting that is too deep.
    """
    try:
        params = _StrictMarshaller(allow_none=True).dumps((value,))
    except RecursionError as error:
        raise ValueError("the value is nested too deep for XML-RPC") from error
    if bad := _NO_XML.search(params):
        raise ValueError(f"the value holds {bad[0]!r}, which XML has no way to say: return bytes")
    return _response(params)


def dump_fault(fault: Fault) -> bytes:
    """Return the response that holds a fault."""
    text = _NO_XML.sub("\ufffd", str(fault.faultString))
    return _response(_StrictMarshaller().dumps(Fault(fault.faultCode, text)))


def _response(content: str) -> bytes:
    # A reader turns a bare CR into LF (XML 1.0, section 2.11), and only the app's text can hold one.
    content = content.replace("\r", "&#13;")
    return f'<?xml version="1.0"?>\n<methodResponse>\n{content}</methodResponse>\n'.encode()


class _ShallowUnmarshaller(Unmarshaller):
    """The standard library's, with an end to nesting."""

    _depth = 0

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise ValueError(f"elements lie more than {_DEPTH_MAX} deep")
        super().start(tag, attrs)

    def end(self, tag: str) -> None:
        self._depth -= 1
        super().end(tag)
        # Its text is used up; kept, a long one would be joined again at the end of each element around it.
        self._data = []


class _StrictMarshaller(Marshaller):
    """The standard library's, with ``<i8>``, and without what would arrive as something else."""

    dispatch: dict[Any, Callable[..., None]] = dict(Marshaller.dispatch)  # noqa: RUF012 - as in its base

    def dump_whole(self, value: int, write: _Write) -> None:
        if not -(2**63) <= value < 2**63:
            raise ValueError("the value holds an int beyond the 64 bits of XML-RPC: return it as str")
        tag = "int" if -(2**31) <= value < 2**31 else "i8"
        write(f"<value><{tag}>{value}</{tag}></value>\n")

    def dump_number(self, value: float, write: _Write) -> None:
        if not math.isfinite(value):
            raise ValueError(f"the value holds {value}, which XML-RPC has no form for")
        self.dump_double(value, write)

    def dump_naive(self, value: datetime, write: _Write) -> None:
        if value.tzinfo is not None:
            raise ValueError(f"the value holds {value}, but XML-RPC knows no time zones: remove tzinfo")
        self.dump_datetime(value, write)

    def refuse(self, value: object, write: _Write) -> None:  # noqa: ARG002 - as all in dispatch
        # The standard library would send the object's attributes, whatever they hold.
        raise TypeError(f"XML-RPC has no form for {type(value).__name__} objects")

    dispatch |= {
        int: dump_whole,
        float: dump_number,
        datetime: dump_naive,
        "_arbitrary_instance": refuse,
    }
