"""What each kind of result tells another process of itself."""

import pytest

from skitai.calls.result import Result
from skitai.formats.plain import from_bytes, to_bytes
from skitai.services.db.result import DBResult
from skitai.services.db.rows import Row
from skitai.services.http.result import HTTPResult
from skitai.services.rpc.result import RPCResult
from skitai.services.websocket.result import WebSocketResult


def in_another_process(result):
    return type(result).of_plain(from_bytes(to_bytes(result.plain())))


def test_a_reply():
    """Body, status and fields are there; so is where it came from."""
    reply = HTTPResult("é".encode(), code=404, msg="Not Found", headers=[("Content-Type", "text/plain")])
    reply.asked = "/x"
    found = in_another_process(reply)
    assert (found.text, found.code, found.msg, found.asked) == ("é", 404, "Not Found", "/x")
    assert found.get_header("content-type") == "text/plain"


def test_a_message():
    """Text stays text, and bytes stay bytes."""
    for message in ("é", b"\xff"):
        reply = WebSocketResult(message, headers=[("OPCODE", "1")])
        found = in_another_process(reply)
        assert (found.data, found.get_header("opcode")) == (message, "1")


def test_a_remote_value():
    """The value of a procedure comes as it is."""
    assert in_another_process(RPCResult({"a": [1, b"x"]})).data == {"a": [1, b"x"]}


def test_rows():
    """Rows are rows again."""
    column = ("a", 23, None, 4, None, None, None)
    found = in_another_process(DBResult([Row(a=1), Row(a=None)], description=(column,), rowcount=2))
    assert [row.a for row in found] == [1, None]
    assert (found.description, found.rowcount, found.first().a, found.scalar()) == ((column,), 2, 1, 1)


@pytest.mark.parametrize("fields", [None, [], {}, {"data": b""}])
def test_what_is_no_result(fields):
    """Something else that a store has is refused."""
    with pytest.raises(ValueError, match="not the fields of a result"):
        Result.of_plain(fields)
