"""The opening handshake, for both ends."""

import pytest

from skitai.errors import CODE_BAD_REPLY, OperationError
from skitai.websocket.handshake import (
    HandshakeError,
    accept_fields,
    check_reply,
    new_key,
    read_request,
    request_fields,
)

#: The example of RFC 6455, section 1.3.
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def encoded(fields):
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]


def request(*more, without=(), **changed):
    fields = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    fields |= {name.replace("_", "-"): value for name, value in changed.items()}
    return encoded([(name, value) for name, value in fields.items() if name not in without] + list(more))


def refusal(method=b"GET", *more, **changed):
    with pytest.raises(HandshakeError) as caught:
        read_request(method, request(*more, **changed))
    return caught.value


class TestServer:
    def test_the_example_of_the_rfc(self):
        """The accepting field has the value that RFC 6455 computes."""
        opening = read_request(b"GET", request())
        assert accept_fields(opening) == [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", ACCEPT),
        ]
        assert opening.deflate() is None

    def test_case_and_lists_do_not_matter(self):
        """Browsers send ``keep-alive, Upgrade``; names are in any case."""
        assert read_request(b"GET", request(Connection="keep-alive, UPGRADE", Upgrade="h2c, WebSocket"))

    @pytest.mark.parametrize(
        ("method", "changed"),
        [
            (b"POST", {}),
            (b"GET", {"Upgrade": "h2c"}),
            (b"GET", {"Connection": "close"}),
            (b"GET", {"without": ["Connection"]}),
            (b"GET", {"without": ["Sec-WebSocket-Version"]}),
            (b"GET", {"without": ["Sec-WebSocket-Key"]}),
            (b"GET", {"Sec-WebSocket-Key": ""}),
            (b"GET", {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ"}),
            (b"GET", {"Sec-WebSocket-Key": "c2hvcnQ="}),
            (b"GET", {"Sec-WebSocket-Key": "\xe9" * 24}),
            (b"GET", {"Sec-WebSocket-Protocol": "a b"}),
            (b"GET", {"Sec-WebSocket-Protocol": "chat, chat"}),
        ],
    )
    def test_what_opens_no_websocket(self, method, changed):
        """The client is told that its request is wrong."""
        assert refusal(method, **changed).status == 400

    def test_two_keys(self):
        """A second field might be what a proxy believes in."""
        assert refusal(b"GET", ("Sec-WebSocket-Key", KEY)).status == 400

    @pytest.mark.parametrize("version", ["8", "14", "13, 8", "013", ""])
    def test_another_version(self, version):
        """The client is told which version is spoken (RFC 6455, section 4.4)."""
        error = refusal(**{"Sec-WebSocket-Version": version})
        assert error.status == 426
        assert ("Sec-WebSocket-Version", "13") in error.fields

    def test_the_server_chooses_the_subprotocol(self):
        """Its own order counts; what the client did not ask for is not chosen."""
        opening = read_request(
            b"GET",
            request(("Sec-WebSocket-Protocol", "wamp"), **{"Sec-WebSocket-Protocol": "chat, superchat"}),
        )
        assert opening.subprotocols == ("chat", "superchat", "wamp")
        assert opening.choose(["mqtt", "wamp", "chat"]) == "wamp"
        assert opening.choose(["mqtt"]) is None
        assert ("Sec-WebSocket-Protocol", "wamp") in accept_fields(opening, "wamp")

    @pytest.mark.parametrize(
        ("offer", "accepted"),
        [
            ("permessage-deflate", "client_no_context_takeover"),
            (
                "permessage-deflate; client_max_window_bits",
                "client_no_context_takeover; client_max_window_bits=12",
            ),
            (
                "permessage-deflate; client_max_window_bits=10",
                "client_no_context_takeover; client_max_window_bits=10",
            ),
            (
                'permessage-deflate; server_max_window_bits="9"; server_no_context_takeover',
                "server_no_context_takeover; server_max_window_bits=9; client_no_context_takeover",
            ),
            ("x-webkit-deflate-frame, Permessage-Deflate", "client_no_context_takeover"),
            (
                "permessage-deflate; server_max_window_bits=8, permessage-deflate",
                "client_no_context_takeover",
            ),
        ],
    )
    def test_compression_is_agreed_upon(self, offer, accepted):
        """The first offer that can be accepted counts; our windows are small, nothing is carried over."""
        opening = read_request(b"GET", request(**{"Sec-WebSocket-Extensions": offer}))
        fields = dict(accept_fields(opening, deflate=opening.deflate()))
        assert fields["Sec-WebSocket-Extensions"] == f"permessage-deflate; {accepted}"

    @pytest.mark.parametrize(
        "offer",
        [
            "",
            "x-webkit-deflate-frame",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=x",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; what",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            ";;;=,,;",
        ],
    )
    def test_an_offer_that_cannot_be_accepted_is_declined(self, offer):
        """The websocket opens without compression (RFC 7692, section 7.1)."""
        assert read_request(b"GET", request(**{"Sec-WebSocket-Extensions": offer})).deflate() is None


class TestClient:
    def reply(self, *more, **changed):
        fields = {"Upgrade": "websocket", "Connection": "upgrade", "Sec-WebSocket-Accept": ACCEPT}
        fields |= {name.replace("_", "-"): value for name, value in changed.items()}
        return encoded([(name, value) for name, value in fields.items() if value is not None] + list(more))

    def test_keys_differ(self):
        """Each request has its own key of 16 bytes."""
        keys = {new_key() for _ in range(100)}
        assert len(keys) == 100
        assert {len(key) for key in keys} == {24}

    def test_both_ends_agree(self):
        """What one end writes the other one reads, with subprotocol and compression."""
        key = new_key()
        asked = {"subprotocols": ["a", "b"], "deflate": True}
        opening = read_request(b"GET", encoded(request_fields(key, **asked)))
        reply = encoded(accept_fields(opening, opening.choose(["b"]), opening.deflate()))
        subprotocol, deflate = check_reply(101, reply, key, **asked)
        assert subprotocol == "b"
        assert deflate is not None
        for one, other in ((deflate, opening.deflate()), (opening.deflate(), deflate)):
            frame = one.frame_of("hello " * 100)
            assert len(frame) < 50
            assert other.frame_of("hello " * 100)[:1] == frame[:1] == b"\xc1"

    def test_a_wrong_subprotocol(self):
        """It would end up in a header field as it is."""
        with pytest.raises(ValueError, match="token"):
            request_fields(KEY, ["a\r\nX: y"])

    @pytest.mark.parametrize(
        ("status", "changed", "text"),
        [
            (200, {}, "200"),
            (403, {}, "403"),
            (101, {"Upgrade": None}, "Upgrade"),
            (101, {"Connection": "keep-alive"}, "Connection"),
            (101, {"Sec-WebSocket-Accept": None}, "Accept"),
            (101, {"Sec-WebSocket-Accept": ACCEPT.lower()}, "Accept"),
            (101, {"Sec-WebSocket-Protocol": "mqtt"}, "subprotocol"),
            (101, {"Sec-WebSocket-Extensions": "x-other"}, "x-other"),
            (101, {"Sec-WebSocket-Extensions": "permessage-deflate"}, "server_no_context_takeover"),
            (101, {"Sec-WebSocket-Extensions": "permessage-deflate; what"}, "what"),
            (101, {"Sec-WebSocket-Extensions": "permessage-deflate, permessage-deflate"}, "extension"),
        ],
    )
    def test_replies_that_open_no_websocket(self, status, changed, text):
        """The client says what is wrong with them."""
        with pytest.raises(OperationError, match=text) as caught:
            check_reply(status, self.reply(**changed), KEY, ["chat"], deflate=True)
        assert caught.value.code == CODE_BAD_REPLY

    def test_compression_that_was_not_asked_for(self):
        """Frames could not be read."""
        fields = {"Sec-WebSocket-Extensions": "permessage-deflate; server_no_context_takeover"}
        with pytest.raises(OperationError, match="not asked for"):
            check_reply(101, self.reply(**fields), KEY)
