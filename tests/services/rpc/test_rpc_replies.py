"""What servers answer to remote procedure calls, honest and hostile ones, over real sockets."""

import json
import xmlrpc.client
from xmlrpc.client import Fault

import pytest
from http_servers import HTTPTestCase, Server, sending
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from skitai.errors import OperationError
from skitai.services.rpc import JSONRPCError, RPCService
from skitai.services.rpc import service as service_module
from skitai.services.rpc.jsonrpc import JSONRPC
from skitai.services.rpc.service import DOCUMENT_MAX
from skitai.services.rpc.xmlrpc import XMLRPC
from skitai.testing import ServiceHarness


def reply(body, content_type="text/xml", status="200 OK"):
    """Return the bytes of a reply."""
    body = body.encode() if isinstance(body, str) else body
    field = f"Content-Type: {content_type}\r\n" if content_type else ""
    return f"HTTP/1.1 {status}\r\n{field}Content-Length: {len(body)}\r\n\r\n".encode() + body


def value_reply(value, **options):
    return reply(xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True), **options)


def json_reply(**response):
    return reply(json.dumps({"jsonrpc": "2.0", "id": 1, **response}), "application/json")


class RPCTestCase(HTTPTestCase):
    codec = XMLRPC()

    def harness(self, **clusters):
        return ServiceHarness(RPCService(self.codec, self.pool()), reactor, clusters=clusters)

    async def result_of(self, data, **kwargs):
        """Return the result of a call to a server that answers with ``data``."""
        server = self.serve(sending(data, **kwargs))
        return await self.harness().call(server.url).method()

    async def check_refused(self, data, code, *words):
        """Check that ``data`` makes a failed result with the code and the words, and raises as such."""
        result = await self.result_of(data)
        assert (result.status, result.code, result.data) == (2, code, b""), result
        for word in words:
            assert word in result.msg
        with pytest.raises(OperationError) as caught:
            result.reraise()
        assert caught.value.code == code
        assert caught.value.node == result.node is not None
        assert caught.value.url.startswith("http://127.0.0.1:")


class XMLRPCTests(RPCTestCase):
    async def test_value(self):
        """The result has the value, and what an HTTP result has."""
        result = await self.result_of(value_reply({"a": [1, None]}))
        assert (result.status, result.code, result.msg, result.data) == (3, 200, "OK", {"a": [1, None]})
        assert (result.version, result.get_header("content-type")) == ("1.1", "text/xml")
        assert result.reraise() is None
        assert list(result) == ["a"]
        assert not hasattr(result, "text")  # of an int it would be that many zero bytes
        assert not hasattr(result, "json")

    async def test_content_types(self):
        """Both types of XML will do, with parameters, or none at all, or whatever the server says it is."""
        for content_type in ("application/xml", "Text/XML; charset=utf-8", "", "text/html", "nonsense"):
            assert (await self.result_of(value_reply(7, content_type=content_type))).data == 7

    async def test_fault(self):
        """A fault is raised as such; the result still has the headers of the reply."""
        result = await self.result_of(reply(xmlrpc.client.dumps(Fault(404, "no method"))))
        assert (result.status, result.code, result.msg, result.data) == (2, 701, "no method", b"")
        assert (result.fault_code, result.get_header("content-type")) == (404, "text/xml")
        with pytest.raises(Fault) as caught:
            result.reraise()
        assert (caught.value.faultCode, caught.value.code, caught.value.url) == (404, 701, result.url)
        assert caught.value.node is result.node

    async def test_other_status(self):
        """Another HTTP status is a failed result with that code, whatever value is in the body."""
        await self.check_refused(value_reply(1, status="500 Oh No"), 500, "HTTP status 500 Oh No")
        await self.check_refused(reply("<html>Oh</html>", "text/html", "502 Bad"), 502, "HTTP status 502 Bad")
        await self.check_refused(reply("", status="302 Found"), 302, "302")
        await self.check_refused(b"HTTP/1.1 204 No Content\r\n\r\n", 204, "204")

    async def test_success_of_another_kind(self):
        """201, 202 and 203 bring a value as 200 does: any 2xx is a success (RFC 9110, section 15.3)."""
        for status in ("201 Created", "202 Accepted", "203 Other"):
            assert (await self.result_of(value_reply(7, status=status))).data == 7

    async def test_fault_under_another_status(self):
        """A fault in a 500 is what the server says, though the specification asks for 200.

        xmlrpc.client has nothing but the status then.
        """
        for status in ("500 Internal Server Error", "400 Bad", "201 Created"):
            result = await self.result_of(reply(xmlrpc.client.dumps(Fault(3, "no rows")), status=status))
            assert (result.status, result.code, result.msg, result.fault_code) == (2, 701, "no rows", 3)
            with pytest.raises(Fault, match="no rows"):
                result.reraise()

    async def test_words_of_a_refusal(self):
        """What is no document of the protocol but a short text stands in the message; a page does not."""
        for body, content_type, words in [
            ("slow\r\n down", "text/plain", "HTTP status 429 No: slow down"),
            ('{"error": "key"}', "application/json; charset=utf-8", 'HTTP status 429 No: {"error": "key"}'),
            ("<p>slow down", "text/html", "HTTP status 429 No"),
            ("x" * 501, "text/plain", "HTTP status 429 No"),
            ("a\0b", "text/plain", "HTTP status 429 No"),
            ("", "text/plain", "HTTP status 429 No"),
        ]:
            result = await self.result_of(reply(body, content_type, "429 No"))
            assert (result.code, result.msg) == (429, words)

    async def test_login(self):
        """Credentials are given when the server asks for them."""

        def handler(peer):
            if b"\r\nAuthorization: Basic dTpw" in peer.head:
                peer.write(value_reply("welcome"))
            else:
                peer.write(
                    b'HTTP/1.1 401 -\r\nWWW-Authenticate: Basic realm="r"\r\nContent-Length: 0\r\n\r\n'
                )

        server = self.serve(Server(handler))
        result = await self.harness().call(server.url, auth=("u", "p")).method(1)
        assert result.data == "welcome"
        result = await self.harness().call(server.url).method(1)
        assert (result.status, result.code) == (2, 401)

    async def test_no_response(self):
        """What is no response document is a failed result that says so."""
        call = xmlrpc.client.dumps((1,), "method")
        for body in ("", "<html/>", "<params/>", call, xmlrpc.client.dumps((1, 2)), "<a" * 100_000):
            await self.check_refused(reply(body), 708, "bad XML-RPC reply: not an XML-RPC")

    async def test_wrong_content_type(self):
        """A page for people is no response, and the message says what it is."""
        words = "the content type 'text/html' is not that of XML-RPC, and not an XML-RPC document"
        await self.check_refused(reply("<html/>", "text/html"), 708, words)

    async def test_entity_bomb(self):
        """Entities are refused before they grow."""
        entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
        bomb = (
            f'<!DOCTYPE m [<!ENTITY e0 "x">{entities}]><params><param><value>&e11;</value></param></params>'
        )
        await self.check_refused(reply(bomb), 708, "it has a DTD")

    async def test_huge_document(self):
        """A document beyond the limit is not even read."""
        await self.check_refused(reply(b" " * (DOCUMENT_MAX + 1)), 708, "larger than")

    async def test_broken_http(self):
        """What fails below the document fails as with any request."""
        server = self.serve(sending(b"garbage\r\n\r\n", close=True))
        result = await self.harness().call(server.url).method()
        assert (result.status, result.code, result.data) == (2, 708, b"")

    async def test_long_document_in_turns(self):
        """A long document is read a piece at a time; other events come between."""
        turns = []

        class CountingReader:
            def feed(self, data):
                turns.append(len(data))
                reactor.callLater(0, turns.append, "other")

            def close(self):
                return len(turns)

        self.codec = type("Counting", (XMLRPC,), {"reader": lambda self: CountingReader()})()
        result = await self.result_of(reply(b" " * 40_000))
        piece = service_module._PIECE
        assert turns[:5] == [piece, "other", piece, "other", 40_000 - 2 * piece]
        assert result.status == 3

    async def test_cancelled_while_reading(self):
        """A call that is cancelled while its document is read stops the reading."""
        started = Deferred()
        fed = []

        class Reader:
            def feed(self, data):
                fed.append(data)
                if len(fed) == 1:
                    reactor.callLater(0, started.callback, None)

            def close(self):
                raise AssertionError("it was read to the end")

        self.codec = type("Slow", (XMLRPC,), {"reader": lambda self: Reader()})()
        harness = self.harness()
        call = harness.call(self.serve(sending(reply(b" " * 2_000_000))).url).method()
        await started
        call.cancel()
        result = await call
        assert (result.status, result.code) == (2, 705)
        assert harness.in_flight == 0
        assert len(fed) < 2_000_000 // service_module._PIECE

    async def test_answers_are_no_failures_of_the_node(self):
        """After a fault, or nonsense in proper HTTP, the member does not rest and no other is asked."""
        bad = [
            reply(xmlrpc.client.dumps(Fault(1, "no"))),
            reply("<html/>", "text/html"),
            reply("", status="503 -"),
        ]
        for data in bad:
            one, two = self.serve(sending(data)), self.serve(sending(data))
            harness = self.harness(c=[f"127.0.0.1:{one.port}", f"127.0.0.1:{two.port}"])
            result = await harness.call.lb("@c/rpc2", idempotent=True).method()
            assert result.status == 2
            assert len(one.heads) + len(two.heads) == 1
            assert [member.failures for member in harness.clusters["c"].members] == [0, 0]

    async def test_failure_in_the_middle(self):
        """Where the request left, another member is asked only if the app said that it may be."""
        dead = self.serve(lambda peer: peer.close())
        well = self.serve(sending(value_reply("well")))
        for options, outcome in ({}, (2, b"")), ({"idempotent": True}, (3, "well")):
            harness = self.harness(c=[f"127.0.0.1:{dead.port}", f"127.0.0.1:{well.port}"])
            result = await harness.call.lb("@c/rpc2", **options).method()
            assert (result.status, result.data) == outcome


class JSONRPCTests(RPCTestCase):
    codec = JSONRPC()

    async def test_value(self):
        """The result is the value; the request has the method, the params and an id."""
        server = self.serve(sending(json_reply(result=[1, None])))
        harness = self.harness()
        result = await harness.call(server.url).a.b(1, "ü")
        assert (result.status, result.code, result.data) == (3, 200, [1, None])
        head, _, body = bytes(server.everything).partition(b"\r\n\r\n")
        assert b"\r\nContent-Type: application/json\r\n" in head
        assert json.loads(body) == {"jsonrpc": "2.0", "method": "a.b", "params": [1, "ü"], "id": 1}

    async def test_error(self):
        """An error of the other side is raised with its code, message and data."""
        error = {"code": -32601, "message": "Method not found", "data": {"a": 1}}
        result = await self.result_of(json_reply(error=error))
        assert (result.status, result.code, result.msg, result.data) == (2, 701, "Method not found", b"")
        assert result.fault_code == -32601
        with pytest.raises(JSONRPCError) as caught:
            result.reraise()
        attributes = dict(vars(caught.value))
        assert (attributes.pop("node"), attributes.pop("url")) == (result.node, result.url)
        assert attributes == error

    async def test_errors_of_every_form(self):
        """Whatever form an error has, it is what the server says, and the result has its words.

        Section 5.1 wants an object with code and message. Servers of 1.0, and many frameworks, send others;
        jsonrpclib and bitcoin's own client take them, too.
        """
        for error, number, words, data in [
            ("no rows", None, "no rows", None),
            ({"code": 3}, 3, '{"code": 3}', {"code": 3}),
            ({"message": "no"}, None, "no", {"message": "no"}),
            ({"code": "E3", "message": "no"}, None, "no", {"code": "E3", "message": "no"}),
            ({"code": True, "message": "no"}, None, "no", {"code": True, "message": "no"}),
            ({"why": "ü"}, None, '{"why": "ü"}', {"why": "ü"}),
            (["a"], None, '["a"]', ["a"]),
            (7, None, "7", 7),
            ("", None, "", None),
            (["x" * 600], None, '["' + "x" * 498 + "...", ["x" * 600]),
        ]:
            for more in ({}, {"result": None}, {"id": 2}, {"id": None}):
                result = await self.result_of(json_reply(error=error, **more))
                assert (result.status, result.code, result.msg) == (2, 701, words)
                assert (result.fault_code, result.error.data, str(result.error)) == (
                    number, data, words if number is None else f"{words} (code: {number})",
                )  # fmt: skip

    async def test_error_under_another_status(self):
        """bitcoind sends its errors with 500, others with 400 or 404: the error counts, not the status."""
        error = {"code": -5, "message": "Invalid address"}
        body = json.dumps({"result": None, "error": error, "id": 1})
        for status in ("500 Internal Server Error", "400 Bad", "404 Not Found", "201 Created"):
            result = await self.result_of(reply(body, "application/json", status))
            assert (result.code, result.msg, result.fault_code) == (701, "Invalid address", -5)
        plain = await self.result_of(reply('{"error": "token"}', "application/json", "401 Who"))
        assert (plain.code, plain.msg) == (401, 'HTTP status 401 Who: {"error": "token"}')

    async def test_responses_of_version_1(self):
        """JSON-RPC 1.0 has ``"error": null`` beside a result, and no mark; 2.0 forbids both at once."""
        for response in (
            {"result": [1], "error": None, "id": 1},
            {"jsonrpc": "2.0", "result": [1], "error": None, "id": 1},
            {"jsonrpc": "1.0", "result": [1], "error": {}, "id": 1},
            {"result": [1], "id": 1},
        ):
            result = await self.result_of(reply(json.dumps(response), "application/json", "201 Created"))
            assert (result.status, result.data) == (3, [1])
        both = await self.result_of(json_reply(result=1, error={"code": 1, "message": "no"}))
        assert (both.status, both.msg) == (2, "no")

    async def test_words_of_something_else(self):
        """A document that is no response is shown in the message."""
        await self.check_refused(
            reply('{"detail": "moved"}', "application/json"), 708, 'JSON-RPC: {"detail": "moved"}'
        )

    async def test_error_without_id(self):
        """An error has the id null where the server could not read the request."""
        result = await self.result_of(json_reply(error={"code": -32700, "message": "Parse error"}, id=None))
        assert (result.fault_code, result.error.data) == (-32700, None)

    async def test_no_response(self):
        """What is no response object for this call is a failed result."""
        for response in (
            {},
            {"error": None},
            {"result": 1, "id": 2},
            {"result": 1, "id": "1"},
            {"result": 1, "id": True},
            {"result": 1, "id": None},
        ):
            await self.check_refused(json_reply(**response), 708, "bad JSON-RPC reply")

    async def test_no_json(self):
        """What is no JSON, or too deep, is a failed result."""
        for body in (b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"jsonrpc":"2.0","id":1,"result":NaN}'):
            await self.check_refused(reply(body, "application/json"), 708, "bad JSON-RPC reply")
        await self.check_refused(value_reply(1), 708, "'text/xml' is not that of JSON-RPC")

    async def test_content_type(self):
        """A response counts whatever its content type."""
        text = json_reply(result=7).replace(b"application/json", b"text/plain; charset=utf-8")
        assert (await self.result_of(text)).data == 7


class JSONArguments(TestCase):
    def test_by_name(self):
        """Named arguments are an object; equal calls are equal bytes."""
        assert json.loads(JSONRPC().encode("a", (), {"b": 1}))["params"] == {"b": 1}
        assert json.loads(JSONRPC().encode("a", (), {}))["params"] == []

    def test_refused(self):
        """Both kinds of arguments, or what JSON has no form for, are refused by name."""
        cycle = []
        cycle.append(cycle)
        deep = []
        for _ in range(100_000):
            deep = [deep]
        for kind, words, args, kwargs in (
            (TypeError, "by position and by name", (1,), {"b": 2}),
            (TypeError, "params.*set", ({1},), {}),
            (ValueError, "params.*float", (float("nan"),), {}),
            (ValueError, "params.*ircular", (cycle,), {}),
            (ValueError, "params.*nested too deep", (deep,), {}),
        ):
            with pytest.raises(kind, match=words):
                JSONRPC().encode("a", args, kwargs)
