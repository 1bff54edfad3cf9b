"""Whole small files, which take a shorter way than others: they are answered as those are."""

import gzip
import os
import time

import pytest

from skitai.http.ranges import whole
from skitai.server.request.compress import Compressor
from skitai.server.site import Mounts, Site
from skitai.server.static.directory import StaticDirectory
from skitai.server.static.options import FolderOptions, MaxAges
from skitai.server.static.sending import CHUNK
from skitai.server.static.wholes import Wholes

TEXT = b"All of this is text. " * 500
FILES = {
    "empty.txt": b"",
    "small.html": b"<p>small",
    "text.css": TEXT,
    "full.js": (TEXT * 10)[:CHUNK],
    "large.js": TEXT * 10,
    "image.png": os.urandom(3000),
    "drawing.svgz": gzip.compress(b"<svg>"),
    "unknown": b"\0\1\2",
    "README": b"text by its bytes",
}
#: A condition that holds for every file: with it, a request takes the way of all those that are not usual.
LONG_WAY = ("If-Match", "*")
#: How the body is framed depends on the way: the longer one sends in chunks what it compresses.
FRAMING = {"content-length", "transfer-encoding", "date"}


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, (1_700_000_000, 1_700_000_000))
    return tmp_path


@pytest.fixture
def gateway(serve, folder, monkeypatch):
    """A server to which all files have been there for a while: those are remembered."""
    monkeypatch.setattr("skitai.server.static.wholes.time", lambda: time.time() + 60)
    options = FolderOptions(
        MaxAges(60, (("*.css", 9),)), ((b"X-Own", b"1"), (b"x-content-type-options", b"no"))
    )
    return serve({}, site=Site(Mounts([(b"", StaticDirectory(folder, options=options))], [])))


def facts(response):
    """Return status, fields and decoded body of what came."""
    fields = sorted((name.lower(), value) for name, value in response.fields if name.lower() not in FRAMING)
    is_coded = response.body and response["Content-Encoding"] == "gzip"
    return response.code, fields, gzip.decompress(response.body) if is_coded else response.body


@pytest.mark.parametrize("accepts", [[], [("Accept-Encoding", "gzip")]])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_both_ways_give_the_same(gateway, method, accepts):
    """Also when the head is remembered, which it is from the second time on."""
    for name, content in FILES.items():
        expected = facts(gateway.ask(f"/{name}", method, fields=[*accepts, LONG_WAY]))
        assert method == "HEAD" or expected[2] in (content, b"<svg>"), name
        for _ in range(3):
            response = gateway.ask(f"/{name}", method, fields=accepts)
            assert facts(response) == expected, name
            if method == "HEAD" and not accepts:
                assert response["Content-Length"] == str(len(content)), name
            elif method == "GET" and len(content) <= CHUNK:
                assert response["Content-Length"] == str(len(response.body)), name


@pytest.mark.parametrize("accepts", [[], [("Accept-Encoding", "gzip")]])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_the_client_has_is_not_sent_again(gateway, method, accepts):
    """By both ways: with its tag, that of the compressed form, others, several, and with dates beside."""
    for name in FILES:
        tag = gateway.ask(f"/{name}")["ETag"]
        tags = [tag, f'{tag[:-1]}-gzip"', f"W/{tag}", '"other"', f'"other", {tag}', "*", tag[1:-1]]
        dates = [[], [("If-Modified-Since", "Sat, 01 Jan 2000 00:00:00 GMT")], [("If-Unmodified-Since", "x")]]
        for fields in [[("If-None-Match", each), *date] for each in tags for date in dates]:
            asked = [*accepts, *fields]
            expected = facts(gateway.ask(f"/{name}", method, fields=[*asked, LONG_WAY]))
            assert facts(gateway.ask(f"/{name}", method, fields=asked)) == expected, (name, fields)
            if fields[0][1] == tag:
                assert expected[0] == 304


def test_a_file_that_changes_is_seen(gateway, folder):
    """Nothing of the former file is remembered for the new one, also where it has the same size and date."""
    seen = set()
    for content in (b"one", b"two", b"three", b"0"):
        (folder / "new.txt").write_bytes(content)
        os.utime(folder / "new.txt", (1_700_000_000, 1_700_000_000))
        os.replace(folder / "new.txt", folder / "small.html")
        for _ in range(3):
            response = gateway.ask("/small.html")
            assert response.body == content
            seen.add(response["ETag"])
    assert len(seen) == 4


def test_a_date_in_the_future_is_not_remembered(gateway, folder):
    """Last-Modified is never later than the response (RFC 9110, section 8.8.2.1), and goes on with it."""
    os.utime(folder / "small.html", (32_000_000_000, 32_000_000_000))
    for _ in range(3):
        response = gateway.ask("/small.html")
        assert response["Last-Modified"][5:16] in (response["Date"][5:16], gateway.ask("/")["Date"][5:16])


def test_what_is_compressed_is_remembered(gateway, folder, monkeypatch):
    """Each version of a file is compressed twice: what comes once is not remembered."""
    compressed = []

    class Counting(Compressor):
        def flush(self, data=b""):
            compressed.append(data)
            return super().flush(data)

    monkeypatch.setattr("skitai.server.request.compress.Compressor", Counting)
    fields = [("Accept-Encoding", "gzip")]
    for expected in (TEXT, TEXT[::-1]):
        (folder / "text.css").write_bytes(expected)
        bodies = {gateway.ask("/text.css", fields=fields).body for _ in range(5)}
        assert [gzip.decompress(body) for body in bodies] == [expected]
        assert gateway.ask("/text.css").body == expected
    assert compressed == [TEXT] * 2 + [TEXT[::-1]] * 2


def test_a_file_that_has_just_changed_is_not_remembered(serve, folder, monkeypatch):
    """It may change once more without another date: the clock of the disk is coarse."""
    now = (folder / "small.html").stat().st_ctime + 1
    monkeypatch.setattr("skitai.server.static.wholes.time", lambda: now)
    made = []
    gateway = serve({}, site=Site(Mounts([(b"", StaticDirectory(folder))], [])))
    monkeypatch.setattr("skitai.server.static.wholes.whole", lambda of: made.append(of) or whole(of))
    for _ in range(3):
        gateway.ask("/small.html")
    assert len(made) == 3


def test_remembered_bodies_take_bounded_memory(tmp_path):
    """Where there is too much, all is forgotten."""
    wholes = Wholes(FolderOptions(MaxAges(0)))
    path = tmp_path / "a.txt"
    path.write_bytes(TEXT)
    with path.open("rb", buffering=0) as file:
        facts = list(os.fstat(file.fileno()))
        facts[7:] = [1_700_000_000] * 3
        for number in range(1000):
            status = os.stat_result([*facts[:1], number, *facts[2:]])
            for _ in range(2):
                found = wholes.of(b"/a.txt", status, file)
            wholes.keep(found, [], bytes(64 * 1024))
    bodies = [each.compressed[1] for each in wholes._remembered.values() if each.compressed]
    assert 0 < sum(map(len, bodies)) <= 8 * 1024 * 1024


def test_a_file_that_always_changes_drives_out_no_other(tmp_path, monkeypatch):
    """It is not remembered, so its compressed forms take no room."""
    wholes = Wholes(FolderOptions(MaxAges(0)))
    path = tmp_path / "a.txt"
    path.write_bytes(TEXT)
    with path.open("rb", buffering=0) as file:
        changing = os.fstat(file.fileno())
        monkeypatch.setattr("skitai.server.static.wholes.time", lambda: changing.st_ctime + 1)
        settled = os.stat_result([*changing[:7], *[1_700_000_000] * 3])
        for _ in range(2):
            found = wholes.of(b"/a.txt", settled, file)
        wholes.keep(found, [], b"compressed")
        for _ in range(200):
            wholes.keep(wholes.of(b"/b.txt", changing, file), [], bytes(64 * 1024))
        assert wholes.of(b"/a.txt", settled, file) is found


def test_a_file_that_cannot_be_read_is_an_error(gateway, monkeypatch, log_text):
    """It is no empty file, and the next one is served."""

    def fail(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("skitai.server.static.sending.os.pread", fail)
        assert gateway.ask("/small.html").code == 500
    assert gateway.ask("/small.html").body == FILES["small.html"]
    assert log_text().count("cannot read a static file") == 1


@pytest.mark.parametrize("accepts", [[], [("Accept-Encoding", "gzip")]])
def test_a_file_that_becomes_shorter_breaks_off(gateway, monkeypatch, accepts):
    """The client must not take the part for all of it: so it is not compressed either."""
    read = os.pread
    monkeypatch.setattr("skitai.server.static.sending.os.pread", lambda *args: read(*args)[:-10])
    response = gateway.ask("/text.css", fields=accepts)
    assert not response.complete
    assert response.body == TEXT[:-10]


@pytest.mark.parametrize("name", ["text.css", "large.js"])
def test_compressed_a_shorter_file_does_not_look_complete(gateway, monkeypatch, name):
    """Nor in the longer way: the end of a gzip says that all is there."""
    read = os.pread
    monkeypatch.setattr("skitai.server.static.sending.os.pread", lambda *args: read(*args)[:-10])
    with gateway.client() as client:
        lines = f"GET /{name} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nIf-Match: *\r\n\r\n"
        client.send(lines.encode())
        assert not client.read().endswith(b"\r\n0\r\n\r\n")
    assert (
        gateway.messages.count(
            f"{f'/{name}'.encode()!r}: the file has become shorter: its response breaks off"
        )
        == 1
    )
