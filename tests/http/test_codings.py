"""Content codings, and what would unpack to more than is allowed."""

import gzip
import random
import tracemalloc
import zlib
from functools import cache, partial

import pytest

from skitai.http.codings import ACCEPTED, STEP_BYTES, Unpacker
from skitai.services.http.decoding import BadReplyError, ReplyBody

TEXT = bytes(range(256)) * 1000
BOMB = bytes(100_000_000)


def compressor(coding):
    """Return the function that applies ``coding``; skip the test where its package is not installed."""
    if coding == "gzip":
        return gzip.compress
    if coding == "deflate":
        return zlib.compress
    if coding == "br":
        # The best quality, 11, takes seconds for what is large.
        return partial(pytest.importorskip("brotli").compress, quality=9)
    return pytest.importorskip("zstandard").compress


CODINGS = ["gzip", "deflate", "br", "zstd"]


@cache
def bomb(coding):
    """Return ``BOMB`` with a coding applied, which takes seconds."""
    return compressor(coding)(BOMB)


def decoded(coding, data, *, limit=1_000_000, step=1000):
    """Return what a body that comes in pieces is."""
    body = ReplyBody(limit, coding)
    for start in range(0, len(data), step):
        body.add(data[start : start + step])
        while body.is_behind:
            body.step()
    return body.finish()


@pytest.mark.parametrize("coding", CODINGS)
def test_undone(coding):
    """Each coding is offered and undone, however the bytes are split."""
    data = compressor(coding)(TEXT)
    assert coding in ACCEPTED.split(", ")
    for step in (1, 100, len(data)):
        assert decoded(coding, data, step=step) == TEXT
    assert decoded(coding, data, limit=len(TEXT)) == TEXT


@pytest.mark.parametrize("coding", CODINGS)
def test_bombs(coding):
    """What unpacks to more than allowed is refused long before it is unpacked."""
    data = bomb(coding)
    with pytest.raises(BadReplyError, match="larger than 1000 bytes"):
        decoded(coding, data, limit=1000, step=len(data))
    with pytest.raises(BadReplyError, match="larger than 255999 bytes"):
        decoded(coding, compressor(coding)(TEXT), limit=len(TEXT) - 1)


@pytest.mark.parametrize("coding", CODINGS)
def test_cut_off(coding):
    """Coded data that ends in the middle is refused."""
    data = compressor(coding)(TEXT)
    with pytest.raises(BadReplyError, match="ends in the middle"):
        decoded(coding, data[:-5])


@pytest.mark.parametrize("coding", CODINGS)
def test_garbage(coding):
    """Data that does not fit its coding is refused."""
    with pytest.raises(BadReplyError, match=r"not the .* that it claims"):
        decoded(coding, b"\xff garbage" * 100)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_several_members(coding):
    """Members or frames that follow one another are one body."""
    compress = compressor(coding)
    assert decoded(coding, compress(b"first ") + compress(b"last"), step=7) == b"first last"
    assert decoded(coding, compress(b"first ") + compress(b"last")) == b"first last"


def steps(coding, data):
    """Return what each step of undoing ``data`` gave."""
    unpacker = Unpacker(coding)
    for start in range(0, len(data), 64 << 10):
        unpacker.add(data[start : start + (64 << 10)])
    pieces = []
    while unpacker.is_behind:
        pieces.append(unpacker.step())
    assert unpacker.is_whole
    return pieces


@pytest.mark.parametrize("coding", CODINGS)
def test_steps_are_bounded(coding):
    """However much a few bytes unpack to, a step gives no more than it should."""
    pieces = steps(coding, bomb(coding))
    assert max(map(len, pieces)) < STEP_BYTES + (3 << 20 if coding == "zstd" else 1 << 20)
    assert len(pieces) >= len(BOMB) // (STEP_BYTES + (3 << 20))
    assert b"".join(pieces) == BOMB
    assert b"".join(steps(coding, compressor(coding)(TEXT * 10))) == TEXT * 10


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_steps_through_many_members(coding):
    """A step begins a bounded number of members, however little is in them."""
    member = compressor(coding)(b"x")
    pieces = steps(coding, member * 6400)
    assert pieces == [b"x" * 64] * 100


#: What stands for nothing, as (beginning, again and again, end): empty members, blocks and metadata.
NOTHING = {
    "gzip": (b"", gzip.compress(b"", mtime=0), b""),
    "deflate": (b"\x78\x9c", b"\x00\x00\x00\xff\xff", b"\x03\x00\x00\x00\x00\x01"),
    "br": (b"\x0c", b"\x06", b"\x03"),
    "zstd": (b"", b"\x28\xb5\x2f\xfd\x00\x58\x01\x00\x00", b""),
}


@pytest.mark.parametrize("coding", ["gzip", None])
def test_tiny_pieces_take_no_more_memory(coding):
    """A body that comes in chunks of two bytes takes about as much memory as it has bytes."""
    size = 1 << 18
    data = gzip.compress(random.Random(1).randbytes(size), 0) if coding else bytes(size)
    tracemalloc.start()
    try:
        body = ReplyBody(2 * size, coding)
        for start in range(0, len(data), 2):
            body.add(data[start : start + 2])
        assert tracemalloc.get_traced_memory()[1] < 3 * size
    finally:
        tracemalloc.stop()
    while body.is_behind:
        body.step()
    assert len(body.finish()) == size


@pytest.mark.parametrize("coding", CODINGS)
def test_bytes_that_stand_for_nothing(coding):
    """What stands for nothing is taken up to a limit, and then refused."""
    compressor(coding)
    first, nothing, last = NOTHING[coding]
    assert decoded(coding, first + nothing * 100 + last) == b""
    with pytest.raises(BadReplyError, match="decode to nothing"):
        decoded(coding, first + nothing * (300_000 // len(nothing)) + last, step=60_000)


def test_large_zstd_windows():
    """A frame that wants more memory than browsers give is refused (RFC 9659)."""
    zstandard = pytest.importorskip("zstandard")
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    coder = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = coder.compress(TEXT * 40) + coder.flush()
    with pytest.raises(BadReplyError, match="zstd"):
        decoded("zstd", data, limit=1 << 30)


def test_unknown_codings():
    """A coding that nobody offered stays as it came."""
    assert decoded("compress", b"abc") == b"abc"
