import json
import xmlrpc.client
from collections.abc import Mapping
from typing import Any
from xmlrpc.client import Fault

import pytest

from skitai.saddle.remote.methods import CALLS_MAX
from skitai.saddle.remote.rpc import Encode, RPCAnswer, UnknownMethod, answer
from skitai.saddle.routes.router import NotFound


def add(was: Any, num1: Any, num2: Any = 1) -> Any:
    """Add two numbers."""
    return num1 + num2


def echo(was: Any, value: Any) -> Any:
    return value


def broken(was: Any) -> None:
    raise KeyError("x")


def refusing(was: Any) -> None:
    raise Fault(42, "not\x00today")


def vanished(was: Any) -> None:
    raise NotFound("/gone")


FUNCTIONS = {"add": add, "math.echo": echo, "broken": broken, "refusing": refusing, "vanished": vanished}


class Calls:
    """The app, in ``debug`` mode: runs FUNCTIONS and notes what was called."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], encode: Encode
    ) -> tuple[Any, bytes]:
        self.names.append(name)
        if name not in FUNCTIONS:
            raise UnknownMethod(name)
        value = FUNCTIONS[name](None, *args, **kwargs)
        return value, encode(value)


@pytest.fixture
def calls() -> Calls:
    return Calls()


def functions() -> Mapping[str, Any]:
    return FUNCTIONS


def post_xml(calls: Calls, body: bytes) -> Any:
    found = answer("text/xml; charset=utf-8", body, calls, functions, debug=True)
    assert found is not None
    assert found[:2] == (200, "text/xml; charset=utf-8")
    return xmlrpc.client.loads(found.body, use_builtin_types=True)[0][0]


def call_xml(calls: Calls, method: str, *args: Any) -> Any:
    return post_xml(calls, xmlrpc.client.dumps(args, method, allow_none=True).encode())


def post_json(calls: Calls, value: Any) -> Any:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    found = answer("application/json", body, calls, functions, debug=True)
    assert found is not None
    assert found[:2] == (200, "application/json")
    return json.loads(found.body)


def call_json(calls: Calls, method: Any, params: Any = (), **more: Any) -> Any:
    return post_json(calls, {"jsonrpc": "2.0", "method": method, "params": params, "id": 1, **more})


# -- XML-RPC -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [15000, 2**40, -1.5, "ü <&>\r\n", b"\x00", None, True, [1, [2]], {"a": {}}])
def test_xml_values_come_back_bare(calls: Calls, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a function returns is the value, in whatever type XML-RPC has."""
    monkeypatch.setitem(FUNCTIONS, "constant", lambda was: value)
    assert call_xml(calls, "constant") == value


def test_readme_example(calls: Calls) -> None:
    """The README's ``s.add (10000, 5000)`` is 15000."""
    assert call_xml(calls, "add", 10000, 5000) == 15000


@pytest.mark.parametrize(
    ("method", "args", "code", "words"),
    [
        ("nothing", (), -32601, "there is no method 'nothing'"),
        ("vanished", (), -32601, "there is no method 'vanished'"),
        ("broken", (), 1, "KeyError: 'x'"),
        ("refusing", (), 42, "not\ufffdtoday"),
        ("add", (), -32602, "add: missing a required argument: 'num1'"),
        ("add", (1, "2"), 1, "TypeError: unsupported operand type(s) for +: 'int' and 'str'"),
        ("system.methodHelp", (), -32602, "system.methodHelp does not take these params"),
        ("system.methodHelp", ("no",), -32601, "there is no method 'no'"),
        ("system.methodHelp", ([],), -32601, "there is no method []"),
        ("system.multicall", (1,), -32602, f"system.multicall takes an array of at most {CALLS_MAX} calls"),
    ],
)
def test_xml_faults(calls: Calls, method: str, args: tuple[Any, ...], code: int, words: str) -> None:
    """What goes wrong is a real Fault: the conventional codes, 1 and type and words for an exception."""
    with pytest.raises(Fault) as failure:
        call_xml(calls, method, *args)
    assert (failure.value.faultCode, failure.value.faultString) == (code, words)


@pytest.mark.parametrize("value", [object(), 2**70, float("nan"), "\x00", {1: 2}, iter(())])
def test_values_without_a_form_are_faults(calls: Calls, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that XML-RPC cannot say is a fault, not something else on the way."""
    monkeypatch.setitem(FUNCTIONS, "constant", lambda was: value)
    with pytest.raises(Fault, match=r"TypeError|ValueError"):
        call_xml(calls, "constant")


def test_values_nested_too_deep_are_faults(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that holds itself is a fault in either protocol."""
    endless: list[Any] = []
    endless.append(endless)
    monkeypatch.setitem(FUNCTIONS, "endless", lambda was: endless)
    with pytest.raises(Fault):
        call_xml(calls, "endless")
    assert call_json(calls, "endless")["error"]["code"] == -32603


def test_multicall(calls: Calls) -> None:
    """Each call of a multicall has its own value in a list, or its own fault in a struct."""
    results = call_xml(
        calls,
        "system.multicall",
        [
            {"methodName": "add", "params": [1, 2]},
            {"methodName": "broken", "params": []},
            {"methodName": "system.multicall", "params": [[]]},
            {"methodName": "nothing", "params": []},
            {"methodName": "add"},
            5,
            {"methodName": "add", "params": [3, 4]},
        ],
    )
    assert results[0] == [3]
    assert results[1] == {"faultCode": 1, "faultString": "KeyError: 'x'"}
    assert [each["faultCode"] for each in results[2:6]] == [-32600, -32601, -32600, -32600]
    assert results[6] == [7]


def test_multicall_is_bounded(calls: Calls) -> None:
    """More calls than allowed are none at all."""
    many = [{"methodName": "add", "params": [1, 2]}] * (CALLS_MAX + 1)
    with pytest.raises(Fault):
        call_xml(calls, "system.multicall", many)
    assert calls.names == []


def test_introspection(calls: Calls) -> None:
    """The system methods list all methods and tell their docstrings."""
    system = ["system.listMethods", "system.methodHelp", "system.methodSignature", "system.multicall"]
    assert call_xml(calls, "system.listMethods") == sorted([*FUNCTIONS, *system])
    assert call_xml(calls, "system.methodHelp", "add") == "Add two numbers."
    assert call_xml(calls, "system.methodHelp", "broken") == ""
    assert call_xml(calls, "system.methodSignature", "add") == "undef"
    assert call_json(calls, "system.methodHelp", ["add"])["result"] == "Add two numbers."


BOMB = b"""<!DOCTYPE x [<!ENTITY a "aaaa">]><methodCall><methodName>&a;</methodName></methodCall>"""


@pytest.mark.parametrize(
    "body",
    [
        b"<methodCall>",
        b"<methodCall></methodCall>",
        b"<methodCall><methodName></methodName></methodCall>",
        b"<methodCall><methodName>add</methodName><params><param><value><int>x</int></value></param></params>",
        b"<methodCall>" + b"<array>" * 500,
        b"<methodCall>\xff</methodCall>",
        BOMB,
    ],
)
def test_bad_or_hostile_xml_is_a_parse_fault(calls: Calls, body: bytes) -> None:
    """A call that cannot be read, has entities or nests too deep is the fault -32700; nothing is called."""
    with pytest.raises(Fault) as failure:
        post_xml(calls, body)
    assert failure.value.faultCode == -32700
    assert calls.names == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/xml", b""),
        ("text/xml", b"hello"),
        ("text/xml", b'<?xml version="1.0"?><soap:Envelope/>'),
        ("text/plain", xmlrpc.client.dumps((), "add").encode()),
        ("application/json", b""),
        ("application/json", b'{"num1": 1}'),
        ("application/json", b"[1, 2]"),
        ("application/json", b'{"jsonrpc": "1.0", "method": "add"}'),
        ("application/json", b'{"inner": {"jsonrpc": "2.0", "method": "add"}}'),
        ("application/json", b'{"num1": '),
        ("text/json", b'{"jsonrpc": "2.0", "method": "add", "id": 1}'),
        ("", b""),
    ],
)
def test_what_is_no_call_is_left_to_the_app(calls: Calls, content_type: str, body: bytes) -> None:
    """Other XML and plain JSON are not taken for a remote call."""
    assert answer(content_type, body, calls, functions) is None
    assert calls.names == []


# -- JSON-RPC ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("params", [[1, 2], {"num1": 1, "num2": 2}])
@pytest.mark.parametrize("call_id", [1, "a", None, 1.5])
def test_json_calls(calls: Calls, params: Any, call_id: Any) -> None:
    """Arguments come by position or by name, and the id goes back."""
    assert call_json(calls, "add", params, id=call_id) == {"jsonrpc": "2.0", "result": 3, "id": call_id}


@pytest.mark.parametrize(
    ("method", "params", "error"),
    [
        ("nothing", [], {"code": -32601, "message": "there is no method 'nothing'"}),
        ("broken", [], {"code": -32603, "message": "Internal error", "data": "KeyError: 'x'"}),
        ("refusing", [], {"code": 42, "message": "not\x00today"}),
    ],
)
def test_json_errors(calls: Calls, method: str, params: Any, error: dict[str, Any]) -> None:
    """What goes wrong is an error object with the code that the specification has for it."""
    assert call_json(calls, method, params) == {"jsonrpc": "2.0", "error": error, "id": 1}


@pytest.mark.parametrize("params", [[], {"num3": 1}, {"was": 1, "num1": 2}])
def test_json_invalid_params(calls: Calls, params: Any) -> None:
    """Arguments that the function does not take are -32602."""
    assert call_json(calls, "add", params)["error"]["code"] == -32602


def test_json_values_without_a_form(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that JSON cannot say is an internal error."""
    monkeypatch.setitem(FUNCTIONS, "constant", lambda was: b"")
    assert call_json(calls, "constant")["error"]["code"] == -32603


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc": "2.0", "method": "add, "id": 1}',
        b'{"jsonrpc": "2.0", "method": "add", "params": [NaN], "id": 1}',
        b'{"jsonrpc": "2.0", "method": "\xff", "id": 1}',
        b'{"jsonrpc": "2.0", "params": ' + b"[" * 100_000,
        b'{"jsonrpc": "2.0", "id": ' + b"9" * 5000 + b"}",
    ],
)
def test_json_parse_errors(calls: Calls, body: bytes) -> None:
    """What looks like a call but is no JSON is -32700 with the id null."""
    response = post_json(calls, body)
    assert (response["error"]["code"], response["id"]) == (-32700, None)


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{", -32700), (b"", -32700), (b"[]", -32600), (b"null", -32600), (b'{"method": "add"}', -32600)],
)
def test_who_says_json_rpc_means_it(calls: Calls, body: bytes, code: int) -> None:
    """Under the type of JSON-RPC alone, everything is a call or a mistake, nothing is the app's own."""
    found = answer("application/json-rpc", body, calls, functions)
    assert found is not None
    assert json.loads(found.body)["error"]["code"] == code


@pytest.mark.parametrize(
    "changed", [{"method": 1}, {"params": "bar"}, {"id": []}, {"id": True}, {"params": None}]
)
def test_json_invalid_requests(calls: Calls, changed: dict[str, Any]) -> None:
    """An object that is no request is -32600 with the id null."""
    response = post_json(calls, {"jsonrpc": "2.0", "method": "add", "id": 1} | changed)
    assert (response["error"]["code"], response["id"]) == (-32600, None)
    assert calls.names == []


def test_an_id_that_cannot_go_back_is_invalid(calls: Calls) -> None:
    """A number that is beyond a float is JSON, but no id."""
    response = post_json(calls, b'{"jsonrpc": "2.0", "method": "add", "id": 1e999}')
    assert response["error"]["code"] == -32600


def test_json_batches(calls: Calls) -> None:
    """Each call of a batch has its response, notifications have none, and what is none is told so."""
    batch = [
        {"jsonrpc": "2.0", "method": "add", "params": [1, 2], "id": "a"},
        {"jsonrpc": "2.0", "method": "add", "params": [1, 2]},
        {"jsonrpc": "2.0", "method": "broken", "id": "b"},
        1,
    ]
    responses = post_json(calls, batch)
    assert [each["id"] for each in responses] == ["a", "b", None]
    assert [each.get("result") for each in responses] == [3, None, None]
    assert calls.names == ["add", "add", "broken"]


def test_json_batches_are_bounded(calls: Calls) -> None:
    """More calls than allowed are one error, and none is called."""
    batch = [{"jsonrpc": "2.0", "method": "add", "params": [1], "id": 1}] * (CALLS_MAX + 1)
    assert post_json(calls, batch)["error"]["code"] == -32600
    assert calls.names == []


@pytest.mark.parametrize("method", ["add", "broken", "nothing"])
@pytest.mark.parametrize("batch", [False, True])
def test_notifications_are_not_answered(calls: Calls, method: str, batch: bool) -> None:
    """A call without an id is made, and whatever comes of it, the answer is empty."""
    request = {"jsonrpc": "2.0", "method": method, "params": []}
    body = json.dumps([request] if batch else request).encode()
    assert answer("application/json", body, calls, functions) == RPCAnswer(204, "application/json", b"")
    assert calls.names == [method]
