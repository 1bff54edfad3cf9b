"""XML-RPC documents on the server's side (xmlrpc.com/spec)."""

from __future__ import annotations

import re
from typing import Any
from xmlrpc.client import Fault, Marshaller

from skitai.formats.xmlrpc import NO_XML, dump_params, load_document

_FIRST_TAG = re.compile(rb"<([^?!\s/>][^\s/>]*)")
_HEAD = 4096


def looks_like_call(body: bytes) -> bool:
    """Whether a body's first tag is that of an XML-RPC call, in UTF-8 or UTF-16."""
    tag = _FIRST_TAG.search(body[:_HEAD].replace(b"\0", b""))
    return tag is not None and tag[1] == b"methodCall"


def load_call(body: bytes) -> tuple[str, tuple[Any, ...]]:
    """Return the method and the params of a ``<methodCall>``; raise ValueError for anything else."""
    try:
        params, method = load_document(body)
    except Fault as error:
        raise ValueError("not an XML-RPC call: it is a fault") from error
    if not method:
        raise ValueError("not an XML-RPC call: it names no method")
    return method, tuple(params)


def dump_value(value: Any) -> bytes:
    """Return the response with a value; raise what ``dump_params`` raises."""
    return _response(dump_params((value,)))


def dump_fault(fault: Fault) -> bytes:
    """Return the response with a fault."""
    text = NO_XML.sub("\ufffd", str(fault.faultString))
    return _response(Marshaller().dumps(Fault(fault.faultCode, text)).replace("\r", "&#13;"))


def _response(content: str) -> bytes:
    return f'<?xml version="1.0"?>\n<methodResponse>\n{content}</methodResponse>\n'.encode()
