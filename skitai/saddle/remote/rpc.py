"""An app's views as remote methods: XML-RPC and JSON-RPC 2.0 at one path, told apart by the body."""

from __future__ import annotations

from typing import NamedTuple
from xmlrpc.client import Fault

from skitai.formats.jsonrpc import INVALID_REQUEST, PARSE_ERROR, dump
from skitai.formats.jsontext import NumberRangeError, read_json
from skitai.http.fields import media_type
from skitai.saddle.remote import jsonrpc, xmlrpc
from skitai.saddle.remote.methods import Call, Encode, Functions, Methods, UnknownMethod

__all__ = ["TYPES", "Encode", "RPCAnswer", "UnknownMethod", "answer"]

_XML_TYPES = ("text/xml", "application/xml")
_JSON = "application/json"
_JSON_RPC = "application/json-rpc"
#: The types of body that may be a remote call.
TYPES = (*_XML_TYPES, _JSON, _JSON_RPC)


class RPCAnswer(NamedTuple):
    """The response to a remote call."""

    status: int
    content_type: str
    body: bytes


def answer(
    content_type: str,
    body: bytes,
    call: Call,
    methods: Functions,
    *,
    debug: bool = False,
) -> RPCAnswer | None:
    """Return the response to the body of a POST, or None if it is not a remote call.

    ``call(name, args, kwargs, encode)`` calls a method and returns its value, plain and encoded. It raises
    UnknownMethod, TypeError for arguments that do not fit, a Fault that the caller sees as it is, or any
    other exception, whose type and text the caller sees with ``debug``. Nothing is logged here.
    ``methods()`` returns the views by name.

    Called in the app's thread. The calls run there, one after the other.
    """
    kind = media_type(content_type)
    if kind in _XML_TYPES and xmlrpc.looks_like_call(body):
        runner = Methods(call, methods, xmlrpc.dump_value, debug=debug)
        return RPCAnswer(200, "text/xml; charset=utf-8", _answer_xml(body, runner))
    if kind == _JSON_RPC or (kind == _JSON and jsonrpc.has_mark(body)):
        runner = Methods(call, methods, dump, debug=debug)
        return _answer_json(body, runner, certain=kind == _JSON_RPC)
    return None


def _answer_xml(body: bytes, methods: Methods) -> bytes:
    try:
        method, params = xmlrpc.load_call(body)
    except ValueError as error:
        return xmlrpc.dump_fault(Fault(PARSE_ERROR, str(error)))
    try:
        return methods.run(method, params, {})
    except Fault as fault:
        return xmlrpc.dump_fault(fault)


def _answer_json(body: bytes, methods: Methods, *, certain: bool) -> RPCAnswer | None:
    """Return the response. Unless ``certain``, it is None for JSON that may be meant for the app."""
    try:
        request = read_json(body, finite=True)
    except NumberRangeError as error:
        return RPCAnswer(200, _JSON, jsonrpc.dump_error(INVALID_REQUEST, f"Invalid Request: {error}"))
    except ValueError as error:
        return RPCAnswer(200, _JSON, jsonrpc.dump_error(PARSE_ERROR, f"Parse error: {error}"))
    if not (certain or jsonrpc.any_is_marked(request)):
        return None
    response = jsonrpc.answer_request(request, methods)
    return RPCAnswer(200 if response else 204, _JSON, response)
