"""The kinds of cases of the Autobahn test suite, as bytes: what a server must read, answer and refuse."""

import random
import zlib

import pytest
from endpoints import Endpoint, binary, close, frame, frames_in, ping, pong, text

from skitai.websocket.handshake import read_request
from skitai.websocket.protocol import ClientWire

SIZES = [0, 125, 126, 127, 128, 65535, 65536]
GREETING = "Hello-µ@ßöäüàá-UTF-8!!"
#: Texts that no encoder makes: suite 6.3, 6.5, and 6.14 to 6.21.
NOT_UTF8 = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80\x65\x64\x69\x74\x65\x64",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xf7\xbf\xbf\xbf",
    b"\x80",
    b"\xbf\x80\xbf",
    b"\xc0\x20",
    b"\xe0\x80",
    b"\xe0\x80\x80",
    b"\xf0\x80\x80\x80",
    b"\xc0\xaf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xfe",
    b"\xff",
    b"\xce",
    b"\xf0\x9f\x98",
]
#: Texts at the borders: suite 6.6, 6.7, 6.9, 6.11, 6.22 and 6.23.
UTF8 = ["κόσμε", "\0", "\x7f", "\x80", "߿", "ࠀ", "\ud7ff", "\ue000", "�", "￾", "￿", "𐀀", "\U0010ffff"]
GOOD_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
BAD_CODES = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


def echo(**options):
    return Endpoint(echo=True, message_max=1 << 24, **options)


def failure(*chunks, **options):
    """Return code of the close frame after which the server has read on until the peer's own close."""
    endpoint = echo(**options).feed(*chunks)
    (first, payload), *more = endpoint.sent()[-1:] or [(0, b"")]
    assert (first, more) == (0x88, [])
    code = int.from_bytes(payload[:2])
    assert endpoint.end is not None
    assert endpoint.end[0] == code
    assert endpoint.end[1].startswith(payload[2:].decode())
    if not endpoint.hung_up:
        endpoint.feed(text("too late") + ping(b"too late") + close(code))
        assert endpoint.sent() == []
        assert endpoint.hung_up
    return code


class TestFraming:
    """Suite 1: lengths, with the pieces that a network makes of them."""

    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("make", [text, binary])
    def test_echo(self, make, size):
        """A message comes back as it was."""
        endpoint = echo().feed(make(b"*" * size))
        assert [payload for _, payload in endpoint.sent()] == [b"*" * size]

    @pytest.mark.parametrize("make", [text, binary])
    def test_in_pieces(self, make):
        """Suite 1.1.8 and 1.2.8: 64 KB in pieces of 997 bytes."""
        data = make(b"*" * 65536)
        endpoint = echo().feed(*(data[at : at + 997] for at in range(0, len(data), 997)))
        assert [payload for _, payload in endpoint.sent()] == [b"*" * 65536]

    def test_a_client_reads_the_same(self):
        """Without masks."""
        for size in SIZES:
            endpoint = Endpoint(ClientWire).feed(binary(b"*" * size, mask=None), text("x", mask=None))
            assert endpoint.messages == [b"*" * size, "x"]


class TestPings:
    """Suite 2."""

    @pytest.mark.parametrize("payload", [b"", b"Hello", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125])
    def test_a_ping_is_answered(self, payload):
        """With its payload."""
        assert echo().feed(ping(payload)).sent() == [(0x8A, payload)]
        data = ping(payload)
        assert echo().feed(*(bytes([byte]) for byte in data)).sent() == [(0x8A, payload)]

    def test_a_ping_with_126_bytes(self):
        """Control frames are short."""
        assert failure(ping(b"\xfe" * 126)) == 1002

    def test_a_pong_that_nobody_asked_for(self):
        """It is fine, with and without payload."""
        endpoint = echo().feed(pong(), pong(b"x" * 125), ping(b"p"))
        assert endpoint.sent() == [(0x8A, b"p")]

    def test_ten_pings(self):
        """Each is answered, in order."""
        names = [b"payload-%d" % number for number in range(10)]
        assert echo().feed(b"".join(map(ping, names))).sent() == [(0x8A, name) for name in names]


class TestReservedBits:
    """Suite 3."""

    @pytest.mark.parametrize("rsv", range(1, 8))
    @pytest.mark.parametrize("opcode", [1, 2, 8, 9, 10])
    def test_they_are_refused(self, rsv, opcode):
        """What was before them is answered, what comes after them is not."""
        endpoint = echo().feed(text("before") + frame(opcode, "x", rsv=rsv) + text("after"))
        assert endpoint.messages == ["before"]
        assert endpoint.end[0] == 1002
        assert [first for first, _ in endpoint.sent()] == [0x81, 0x88]


class TestOpcodes:
    """Suite 4."""

    @pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
    @pytest.mark.parametrize("payload", [b"", b"reserved"])
    def test_reserved_ones_are_refused(self, opcode, payload):
        """Whether they are data or control frames."""
        assert failure(frame(opcode, payload)) == 1002
        assert failure(text("a") + frame(opcode, payload) + ping()) == 1002


class TestFragments:
    """Suite 5."""

    def test_a_fragmented_message(self):
        """In one piece, and byte by byte."""
        data = text("frag", fin=False) + frame(0, "men", fin=False) + frame(0, "t") + binary(b"x")
        assert echo().feed(data).sent() == [(0x81, b"fragment"), (0x82, b"x")]
        assert echo().feed(*(bytes([byte]) for byte in data)).sent() == [(0x81, b"fragment"), (0x82, b"x")]

    def test_control_frames_between_fragments(self):
        """They are answered at once; the message is whole in the end."""
        endpoint = echo().feed(text("frag", fin=False), ping(b"p"), pong(b"q"), frame(0, "ment"))
        assert endpoint.sent() == [(0x8A, b"p"), (0x81, b"fragment")]

    def test_empty_fragments(self):
        """A message may have fragments without anything (suite 6.1)."""
        data = (
            text("", fin=False) + frame(0, "", fin=False) + frame(0, "") + text("", fin=False) + frame(0, "a")
        )
        assert echo().feed(data).messages == ["", "a"]

    def test_a_close_between_fragments(self):
        """The message is given up."""
        endpoint = echo().feed(text("frag", fin=False) + close(1000, "bye") + frame(0, "ment"))
        assert (endpoint.messages, endpoint.end) == ([], (1000, "bye"))
        assert endpoint.hung_up

    @pytest.mark.parametrize("bad", [ping(b"x", fin=False), pong(b"x", fin=False), close(1000, fin=False)])
    def test_a_fragmented_control_frame(self, bad):
        """There is no such thing."""
        assert failure(bad + frame(0, "x")) == 1002

    @pytest.mark.parametrize("end", [True, False])
    def test_a_continuation_of_nothing(self, end):
        """Also after a message that was whole."""
        assert failure(frame(0, "x", fin=end)) == 1002
        assert failure(text("a") + frame(0, "x", fin=end)) == 1002
        assert failure(text("a", fin=False) + frame(0, "b") + frame(0, "x", fin=end)) == 1002

    @pytest.mark.parametrize("end", [True, False])
    def test_a_new_message_within_another(self, end):
        """A message is finished first."""
        assert failure(text("a", fin=False) + text("b", fin=end)) == 1002


class TestUTF8:
    """Suite 6."""

    @pytest.mark.parametrize("bad", NOT_UTF8)
    def test_what_is_none(self, bad):
        """Whole, in pieces, and in fragments."""
        assert failure(text(bad)) == 1007
        assert failure(*(bytes([byte]) for byte in text(bad))) == 1007
        fragments = [text(bad[:1], fin=False), *(frame(0, bytes([byte]), fin=False) for byte in bad[1:])]
        assert failure(*fragments, frame(0)) == 1007

    @pytest.mark.parametrize("good", UTF8)
    def test_what_is_some(self, good):
        """A character may be cut anywhere."""
        encoded = good.encode("utf-8", "surrogatepass")
        endpoint = echo().feed(text(encoded)).feed(*(bytes([byte]) for byte in text(encoded)))
        for cut in range(len(encoded) + 1):
            endpoint.feed(text(encoded[:cut], fin=False), frame(0, encoded[cut:]))
        assert set(endpoint.messages) == {good}
        assert {payload for _, payload in endpoint.sent()} == {encoded}

    def test_it_fails_early(self):
        """Suite 6.4: not only when the message is whole."""
        bad = NOT_UTF8[1]
        data = text(bad)
        endpoint = echo().feed(data[: 6 + 14])
        assert endpoint.end is not None
        assert endpoint.end[0] == 1007
        endpoint = echo().feed(text(bad[:14], fin=False))
        assert endpoint.end is not None

    def test_binary_may_be_anything(self):
        """It is not looked at."""
        assert echo().feed(*map(binary, NOT_UTF8)).messages == NOT_UTF8


class TestClosing:
    """Suite 7."""

    @pytest.mark.parametrize("code", GOOD_CODES)
    def test_codes(self, code):
        """They are repeated; what comes after a close is ignored."""
        endpoint = echo().feed(text("x") + close(code, GREETING) + text("y") + ping() + close(1001))
        assert endpoint.end == (code, GREETING)
        assert endpoint.sent() == [(0x81, b"x"), (0x88, code.to_bytes(2))]
        assert endpoint.hung_up

    @pytest.mark.parametrize("code", BAD_CODES)
    def test_bad_codes(self, code):
        """Nobody may send them."""
        assert failure(close(code)) == 1002
        assert failure(close(code, "reason")) == 1002

    def test_no_code(self):
        """It is answered in the same way, and told as 1005."""
        endpoint = echo().feed(close())
        assert endpoint.end == (1005, "")
        assert endpoint.sent() == [(0x88, b"")]
        assert endpoint.hung_up

    def test_half_a_code(self):
        """Suite 7.3.2."""
        assert failure(frame(8, b"\x03")) == 1002

    def test_a_long_reason(self):
        """123 bytes fit, 124 do not."""
        assert echo().feed(close(1000, "x" * 123)).end == (1000, "x" * 123)
        assert failure(close(1000, "x" * 124)) == 1002

    def test_a_reason_that_is_not_utf8(self):
        """Suite 7.5.1."""
        assert failure(close(1000, NOT_UTF8[0])) == 1007

    def test_in_pieces(self):
        """A close frame may come byte by byte."""
        endpoint = echo().feed(*(bytes([byte]) for byte in close(1000, "bye")))
        assert endpoint.end == (1000, "bye")


class TestLimits:
    """Suite 9: large messages, in every cut."""

    @pytest.mark.parametrize("size", [1 << 16, 1 << 18, 1 << 20, 1 << 22])
    def test_large_messages(self, size):
        """They come back whole."""
        payload = random.Random(1).randbytes(size)
        data = binary(payload)
        endpoint = echo().feed(*(data[at : at + 65536] for at in range(0, len(data), 65536)))
        assert endpoint.sent() == [(0x82, payload)]

    @pytest.mark.parametrize("part", [64, 1000, 65536])
    def test_large_messages_in_fragments(self, part):
        """Also where text is cut within characters."""
        payload = (GREETING * 5000).encode()
        cuts = range(0, len(payload), part)
        frames = [frame(1 if at == 0 else 0, payload[at : at + part], fin=False) for at in cuts]
        assert echo().feed(b"".join([*frames, frame(0)])).sent() == [(0x81, payload)]

    @pytest.mark.parametrize("chop", [1, 64, 1000])
    def test_chopped(self, chop):
        """The cuts of the network do not matter."""
        payload = (GREETING * 500).encode()
        data = text(payload)
        endpoint = echo().feed(*(data[at : at + chop] for at in range(0, len(data), chop)))
        assert endpoint.sent() == [(0x81, payload)]

    @pytest.mark.parametrize("cut", [0, 1, 4, 10, 40])
    def test_too_big(self, cut):
        """A frame or a message beyond the limit is 1009, before it is read."""
        for data in (
            text("x" * 101),
            text("", length=1 << 62),
            text("x" * 60, fin=False) + frame(0, "x" * 41),
            text("x" * 60, fin=False) + frame(0, b"", length=1 << 40),
        ):
            endpoint = Endpoint(message_max=100).feed(data[:cut], data[cut:])
            assert endpoint.end is not None
            assert endpoint.end[0] == 1009
            assert endpoint.messages == []
        assert Endpoint(message_max=100).feed(text("x" * 100)).messages == ["x" * 100]

    def test_the_rest_of_what_is_too_big_is_skipped(self):
        """So the close frame that answers ours is found behind it."""
        endpoint = Endpoint(message_max=100)
        data = binary(b"\x88\x80" * 100_000) + text("y") + close(1009)
        endpoint.feed(*(data[at : at + 1000] for at in range(0, len(data), 1000)))
        assert endpoint.end[0] == 1009
        assert endpoint.hung_up
        endpoint = Endpoint(message_max=100)
        endpoint.feed(text("x" * 60, fin=False) + frame(0, "x" * 50_000)[:3000])
        endpoint.feed(b"\x88" * (50_000 - 3000 + 8), close(1009))
        assert endpoint.hung_up

    def test_a_frame_has_a_limit_of_its_own(self):
        """With ``frame_max``."""
        assert (
            Endpoint(frame_max=10).feed(text("x" * 10), text("x", fin=False), frame(0, "y" * 10)).end is None
        )
        assert Endpoint(frame_max=10).feed(text("x" * 11)).end[0] == 1009

    @pytest.mark.parametrize(
        "bad",
        [
            b"\x81\xfe\x00\x05" + bytes(9),
            b"\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff" + bytes(9),
            b"\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00" + bytes(9),
        ],
    )
    def test_lengths_that_are_not_minimal(self, bad):
        """RFC 6455, section 5.2."""
        endpoint = Endpoint().feed(bad)
        assert endpoint.end[0] in (1002, 1009)


class TestMasks:
    """RFC 6455, section 5.1."""

    @pytest.mark.parametrize("make", [text, binary, ping, pong])
    def test_a_client_must_mask(self, make):
        """A server reads nothing else."""
        assert failure(make(b"x", mask=None)) == 1002
        assert failure(text("a") + make(b"", mask=None) + text("b")) == 1002

    @pytest.mark.parametrize("make", [text, binary, ping, pong, close])
    def test_a_server_must_not_mask(self, make):
        """A client reads nothing else."""
        endpoint = Endpoint(ClientWire).feed(make(*([] if make is close else [b"x"])))
        assert endpoint.end[0] == 1002
        assert endpoint.sent()[0][0] == 0x88


class TestCompression:
    """Suite 12 and 13."""

    @staticmethod
    def deflate(offer="permessage-deflate; client_max_window_bits"):
        fields = [
            (b"upgrade", b"websocket"),
            (b"connection", b"upgrade"),
            (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-extensions", offer.encode()),
        ]
        return read_request(b"GET", fields).deflate()

    @staticmethod
    def packed(agreed, message):
        data = agreed.frame_of(message)
        ((first, payload),) = frames_in(data)
        assert first & 0x40
        return frame(first & 15, payload, rsv=4)

    @pytest.mark.parametrize("offer", ["", "; server_max_window_bits=9", "; server_no_context_takeover"])
    @pytest.mark.parametrize("size", [200, 1000, 8192, 131072])
    def test_echo(self, offer, size):
        """A message of any size, with any parameters."""
        agreed = self.deflate("permessage-deflate; client_max_window_bits" + offer)
        message = (GREETING * size)[:size]
        endpoint = echo(deflate=agreed)
        for _ in range(3):
            endpoint.feed(self.packed(agreed, message))
        assert endpoint.messages == [message] * 3
        for first, payload in endpoint.sent():
            assert first == 0xC1
            assert len(payload) < size / 2
            unpacked = zlib.decompressobj(-12).decompress(payload + b"\0\0\xff\xff")
            assert unpacked.decode() == message

    def test_small_messages_are_sent_as_they_are(self):
        """And both kinds are read."""
        agreed = self.deflate()
        endpoint = echo(deflate=agreed).feed(text("hi"), self.packed(agreed, "x" * 200), binary(b"ho"))
        assert [first for first, _ in endpoint.sent()] == [0x81, 0xC1, 0x82]

    def test_in_fragments(self):
        """Only the first has the bit; control frames come between."""
        agreed = self.deflate()
        ((_, payload),) = frames_in(agreed.frame_of(GREETING * 100))
        data = text(payload[:5], fin=False, rsv=4) + ping(b"p") + frame(0, payload[5:], fin=False) + frame(0)
        endpoint = echo(deflate=agreed).feed(*(bytes([byte]) for byte in data))
        assert endpoint.messages == [GREETING * 100]
        bad = text(payload[:5], fin=False, rsv=4) + frame(0, payload[5:], rsv=4)
        assert failure(bad, deflate=agreed) == 1002
        assert failure(ping(b"x", rsv=4), deflate=agreed) == 1002
        assert failure(text(payload, rsv=2), deflate=agreed) == 1002

    @pytest.mark.parametrize("cut", [0, 1])
    @pytest.mark.parametrize("size", [101, 300, 1000, 100_000])
    def test_a_message_that_unpacks_to_too_much(self, size, cut):
        """A small frame must not fill the memory."""
        agreed = self.deflate()
        data = self.packed(agreed, b"x" * max(size, 128))
        ((_, payload),) = frames_in(agreed.frame_of(b"x" * max(size, 128)))
        if cut:
            data = binary(payload[:3], fin=False, rsv=4) + frame(0, payload[3:])
        endpoint = Endpoint(deflate=agreed, message_max=100).feed(data)
        assert endpoint.messages == []
        assert endpoint.end[0] == 1009
        endpoint.feed(close(1009))
        assert endpoint.hung_up

    def test_the_border_of_the_limit_is_exact(self):
        """A message that is a little too long must not lose its end: autobahn's class cuts these."""
        agreed = self.deflate()
        for size in range(4090, 4110):
            data = self.packed(agreed, b"x" * size)
            endpoint = Endpoint(deflate=agreed, message_max=4096).feed(data)
            assert [len(message) for message in endpoint.messages] == ([size] if size <= 4096 else [])
            assert (endpoint.end is None) == (size <= 4096)

    def test_what_cannot_be_unpacked(self):
        """It is the payload that is wrong, so 1007."""
        assert failure(text(b"\xff" * 20, rsv=4), deflate=self.deflate()) == 1007

    def test_text_is_checked_when_unpacked(self):
        """Not the bytes of the frame."""
        agreed = self.deflate()
        ((_, payload),) = frames_in(agreed.frame_of(b"\xff" * 200))
        assert failure(text(payload, rsv=4), deflate=agreed) == 1007
        assert echo(deflate=agreed).feed(frame(2, payload, rsv=4)).messages == [b"\xff" * 200]
